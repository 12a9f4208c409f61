"""The synthetic world in the layout of the paper's public release.

:mod:`gpu_coldstart.datasets.deezer.release` says what the eight files hold. Songs and users are
numbered from 0: songs by ascending track id; users warm, validation, test, by ascending user id
in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gpu_coldstart.batches import batches
from gpu_coldstart.config import Config, resolve
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SCALARS
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.datasets.deezer.release import PARTS, SHORT
from gpu_coldstart.datasets.deezer.vectors import block_columns
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.features import FeatureBuilder, InputVectors
from gpu_coldstart.registry import SPACES
from gpu_coldstart.spaces import Space, silent

__all__ = ["FILES", "Writer", "make"]

Writer: TypeAlias = Callable[[IO[bytes]], None]
"""Writes a file's content into an open file."""

FILES = (
    "song_embeddings",
    "user_embeddings",
    *(f"user_features_{part}_{short}" for short in SHORT.values() for part in PARTS),
)
"""Names of the files, without ``.parquet``."""

_TRUTH_DAYS = 30
_USERS_AT_A_TIME = 8192


@dataclass(frozen=True)
class _Made:
    """The world, indexed, and its spaces.

    Attributes
    ----------
    song : array [tracks] of int64
        ``song_index`` of each track of the logs.
    """

    engine: CpuEngine
    config: Config
    logs: Logs
    truth: GroundTruth
    spaces: dict[str, Space]
    song: HostArray


def make(preset: str, seed: int, *, as_text: bool = False) -> dict[str, Writer]:
    """Make the world, index it, fit both spaces, and say how to write each file.

    Spaces and input vectors are made with the preset's settings, except that the scalars are raw,
    as in the release.

    Parameters
    ----------
    preset : {"tiny", "small", "paper"}
    seed : int
        0 or more. The same preset and seed give the same files on the same machine with as many
        threads.
    as_text : bool
        Whether lists are written as text (``"[0.1, 0.2]"``), as some copies have them.

    Returns
    -------
    dict of name in :data:`FILES` to Writer

    Raises
    ------
    UserError
        If the preset is not known or the seed negative.
    """
    made = _made(preset, seed)
    writers: dict[str, Writer] = {
        "song_embeddings": partial(_write, _song_tables, made, as_text=as_text),
        "user_embeddings": partial(_write, _user_tables, made, as_text=as_text),
    }
    for space, short in SHORT.items():
        for part, cohort in zip(PARTS, ("warm", "validation", "test"), strict=True):
            parts = partial(_feature_tables, space=space, cohort=cohort)
            writers[f"user_features_{part}_{short}"] = partial(_write, parts, made, as_text=as_text)
    return writers


def _made(preset: str, seed: int) -> _Made:
    chosen = {
        "seed": seed,
        "features.scalars": "raw",
        "segments.popularity_days": _TRUTH_DAYS,
        "split.truth_days": _TRUTH_DAYS,
    }
    config = resolve(preset=preset, settings=chosen)
    engine = CpuEngine()
    world = Dataset(lambda: generate(config.world, config.seed))
    indexed, truth = world.index(engine, config, silent)
    fitted = {
        space: SPACES.get(space).fit(engine, indexed, config.of(space), config.seed, silent)
        for space in SHORT
    }
    song = np.empty(indexed.n_tracks, dtype=np.int64)
    song[np.argsort(indexed.track_ids)] = np.arange(indexed.n_tracks)
    return _Made(engine, config, indexed, truth, fitted, song)


# -- the files -------------------------------------------------------------------------------------


def _write(
    parts: Callable[[_Made], Iterator[Any]], made: _Made, file: IO[bytes], *, as_text: bool
) -> None:
    """Write Arrow tables as the row groups of a Parquet file.

    With checksums, so that a damaged copy is noticed; without the statistics of thousands of
    columns, nor dictionaries of numbers that hardly repeat.
    """
    writer: Any = None
    try:
        for table in parts(made):
            shown = _with_text(table) if as_text else table
            if writer is None:
                writer = pq.ParquetWriter(
                    file,
                    shown.schema,
                    compression="zstd",
                    use_dictionary=False,
                    write_statistics=False,
                    write_page_checksum=True,
                )
            writer.write_table(shown)
    finally:
        if writer is not None:
            writer.close()


def _song_tables(made: _Made) -> Iterator[Any]:
    order = np.argsort(made.song)
    columns = {
        f"features_{SHORT[name]}": _vectors(space.tracks[order])
        for name, space in made.spaces.items()
    }
    yield pa.table({"song_index": np.arange(len(order)), **columns})


def _user_tables(made: _Made) -> Iterator[Any]:
    columns = {
        f"{SHORT[name]}_embeddings": _vectors(space.users) for name, space in made.spaces.items()
    }
    yield pa.table({"user_index": np.arange(made.logs.n_warm), **columns})


def _feature_tables(made: _Made, *, space: str, cohort: str) -> Iterator[Any]:
    """The users of a cohort, some at a time."""
    engine, indexed = made.engine, made.logs
    builder = FeatureBuilder.fit(engine, indexed, made.spaces[space], made.config.features)
    inputs = InputVectors(engine, builder, indexed.registrations)
    names = ["user_index", "d1d30_songs", *block_columns(made.spaces[space].dimension), *SCALARS]
    users = np.arange(indexed.n_users)[indexed.users(cohort)]
    for places in batches(len(users), _USERS_AT_A_TIME):
        some = users[places]
        if cohort == "warm":
            heard = engine.take_rows(indexed.plays, some)
        else:
            heard = engine.take_rows(made.truth.tracks, some - indexed.n_warm)
        columns = np.ascontiguousarray(inputs.batch(some).T)
        arrays = [pa.array(some), _songs(made, heard), *(pa.array(column) for column in columns)]
        yield pa.Table.from_arrays(arrays, names)


def _vectors(rows: HostArray) -> Any:
    """Rows [n, d] of float32 as lists."""
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, rows.ravel())


def _songs(made: _Made, heard: Csr) -> Any:
    """Each row's songs, ascending, as lists."""
    owner = np.repeat(np.arange(heard.shape[0]), np.diff(heard.indptr))
    song = made.song[heard.indices]
    return pa.ListArray.from_arrays(heard.indptr.astype(np.int32), song[np.lexsort((song, owner))])


def _with_text(table: Any) -> Any:
    """The table with its lists as text, as pandas prints lists."""
    for place, name in enumerate(table.column_names):
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type):
            words = pa.ListArray.from_arrays(column.offsets, column.values.cast(pa.string()))
            text = pc.binary_join_element_wise("[", pc.binary_join(words, ", "), "]", "")
            table = table.set_column(place, name, text)
    return table
