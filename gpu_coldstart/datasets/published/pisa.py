"""Deezer's listening sessions of 2022 (Tran et al., RecSys 2024; Zenodo record 13890194).

What their files look like is known from the code released with the paper, which reads them; the
files themselves have not been at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import acero

from gpu_coldstart.datasets.files import table_writers
from gpu_coldstart.datasets.published import Writers
from gpu_coldstart.datasets.published.files import constant
from gpu_coldstart.errors import UserError, first_line

__all__ = ["sessions"]

_STREAMS = ("user_id", "product_track_id", "ts")
_TRACKS = ("product_track_id", "artist_id")
_SCHEMA = pa.schema(
    {
        "user_id": pa.int64(),
        "timestamp": pa.timestamp("s"),
        "action": pa.dictionary(pa.int8(), pa.string()),
        "entity": pa.dictionary(pa.int8(), pa.string()),
        "entity_id": pa.int64(),
    }
)


def sessions(place: Path) -> Writers:
    """The sessions, by the data contract.

    A row of the sessions is a ``stream`` at second ``ts``; who streams first registers, so that
    only those who appear late are new. There is nothing about users, and no playlists: TT-SVD
    counts tracks that share a history. Rows pass through batch by batch, as there are 700 million.

    Parameters
    ----------
    place : Path
        The folder with the Parquet files, or folders of such, ``sessions`` (columns ``user_id``,
        ``product_track_id``, ``ts``) and ``svd_embeddings`` (``product_track_id``, ``artist_id``).

    Raises
    ------
    UserError
        When either is missing, damaged or without a column.
    """
    streams = _dataset(place, "sessions", _STREAMS)
    tracks = _dataset(place, "svd_embeddings", _TRACKS).to_table(columns=list(_TRACKS))
    first = acero.Declaration.from_sequence(
        [
            acero.Declaration("scan", acero.ScanNodeOptions(streams, columns=["user_id", "ts"])),
            acero.Declaration(
                "aggregate",
                acero.AggregateNodeOptions([("ts", "hash_min", None, "first")], ["user_id"]),
            ),
        ]
    ).to_table()
    users = {"user_id": first["user_id"], "registered_at": _moment(first["first"])}
    named = tracks.rename_columns(["track_id", "artist_id"])
    return {
        **table_writers({"users": pa.table(users).sort_by("user_id"), "tracks": named}),
        "interactions": lambda file: _write(streams.to_batches(columns=list(_STREAMS)), file),
    }


def _dataset(place: Path, name: str, columns: Iterable[str]) -> ds.Dataset:
    path = next((each for each in (place / name, place / f"{name}.parquet") if each.exists()), None)
    if path is None:
        raise UserError(f"{place} holds no {name}: name the folder of the data set")
    try:
        found = ds.dataset(path, format="parquet")
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): download it again") from error
    missing = [column for column in columns if column not in found.schema.names]
    if missing:
        raise UserError(f"{path} has no column '{missing[0]}': it is of another layout")
    return found


def _moment(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return seconds.cast(pa.int64()).cast(pa.timestamp("s"))


def _write(batches: Iterable[pa.RecordBatch], file: IO[bytes]) -> None:
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for batch in batches:
            rows = batch.num_rows
            columns = {
                "user_id": batch["user_id"].cast(pa.int64()),
                "timestamp": _moment(batch["ts"]),
                "action": constant("stream", rows),
                "entity": constant("track", rows),
                "entity_id": batch["product_track_id"].cast(pa.int64()),
            }
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
