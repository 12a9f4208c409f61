"""The table of sound: read in any form, in the order of the tracks, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import load
from gpu_coldstart.datasets.events import source
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.check import check_directory
from tests.runs.helpers import Tables, write

FLOATS = pa.list_(pa.float32())


def logs_of(engine: Engine, place: Path) -> Logs:
    return index(engine, load(engine, source(place)), Config().split)[0]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    "kind", [FLOATS, pa.large_list(pa.float64()), pa.list_(pa.float32(), 3), pa.list_(pa.int8())]
)
def test_places_are_those_of_the_tracks(
    engine: Engine, tables: Tables, tmp_path: Path, kind: pa.DataType, text: bool
) -> None:
    """Rows in any order, in parts; some tracks have none, some rows are of unknown tracks."""
    ids = [track for track in tables["tracks"]["track_id"].to_pylist() if track % 3]
    wanted = {track: [track % 7, -(track % 5), track % 2] for track in ids}
    rows = {**wanted, 10**6: [1, 1, 1], 10**6 + 1: [1, 1, 2]}
    order = np.random.default_rng(0).permutation(len(rows))
    sound = pa.table(
        {"track_id": list(rows), "embedding": pa.array(list(rows.values()), FLOATS).cast(kind)}
    ).take(pa.array(order))
    given = dict(tables)
    if text:
        named = [f"t{track}" for track in sound["track_id"].to_pylist()]
        sound = sound.set_column(0, "track_id", pa.array(named))
        columns = {
            name: given[name]["track_id"].cast(pa.string()) for name in ("tracks", "playlists")
        }
        for name, column in columns.items():
            named = [f"t{track}" for track in column.to_pylist()]
            given[name] = given[name].set_column(
                given[name].column_names.index("track_id"), "track_id", pa.array(named)
            )
        events = given["interactions"]
        kinds, ids_ = events["entity"].to_pylist(), events["entity_id"].to_pylist()
        named = [
            f"t{each}" if of == "track" else str(each) for of, each in zip(kinds, ids_, strict=True)
        ]
        given["interactions"] = events.set_column(
            events.column_names.index("entity_id"), "entity_id", pa.array(named)
        )
    write(given, tmp_path)
    (tmp_path / "sound").mkdir()
    for part, rest in enumerate((sound[:9], sound[9:])):
        pq.write_table(rest, tmp_path / f"sound/{part}.parquet")
    logs = logs_of(engine, tmp_path)
    places = engine.to_host(logs.sound)
    names = logs.ids.names("track", engine.to_host(logs.track_ids)).to_pylist()
    for name, found in zip(names, places, strict=True):
        vector = np.array(wanted.get(int(str(name).lstrip("t")), [0, 0, 0]), float)
        length = np.linalg.norm(vector)
        assert_allclose(found, vector / (length or 1), rtol=1e-6)
    assert f"2 of {len(rows)} rows of sound name unknown tracks; left out" in logs.notes


def test_without_a_row_there_is_no_sound(engine: Engine, tables: Tables, tmp_path: Path) -> None:
    empty = pa.table({"track_id": pa.array([], pa.int64()), "embedding": pa.array([], FLOATS)})
    assert logs_of(engine, write({**tables, "sound": empty}, tmp_path)).sound is None


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"track_id": [1, 2]}, ["no column 'embedding'", "a list of numbers"]),
        ({"track_id": [1, 2], "embedding": [[1.0], None]}, ["'embedding', row 1", "null"]),
        (
            {"track_id": [1, 2], "embedding": [[1.0, 2], [1.0]]},
            ["row 1", "1 numbers", "first row 2"],
        ),
        ({"track_id": [1, 2], "embedding": [[1.0], [float("nan")]]}, ["row 1", "no float32"]),
        ({"track_id": [1, 2], "embedding": [[1e300], [None]]}, ["row 0", "and 1 more"]),
        ({"track_id": [1], "embedding": pa.array([[]], FLOATS)}, ["row 0", "0 numbers"]),
        ({"track_id": [1, 2], "embedding": [["a"], ["b"]]}, ["list<", "all of one length"]),
        ({"track_id": [1, 2], "embedding": [1.0, 2.0]}, ["the type is double", "artists embed"]),
        ({"track_id": ["a", "b"], "embedding": [[1.0], [2.0]]}, ["strings", "integers"]),
        ({"track_id": [None, 2], "embedding": [[1.0], [2.0]]}, ["'track_id', row 0", "null"]),
        (
            {"track_id": [1, 2, 1], "embedding": [[1.0]] * 3},
            ["several rows", "row 2", "keep one"],
        ),
        ({"track_id": [-8, -9], "embedding": [[1.0]] * 2}, ["no row names a track", "tracks"]),
    ],
)
def test_what_is_refused(
    engine: Engine, tables: Tables, tmp_path: Path, columns: dict[str, Any], words: list[str]
) -> None:
    """By a run and by ``check``, in the same sentence."""
    tracks = tables["tracks"]["track_id"].to_pylist()
    known = {1: tracks[0], 2: tracks[1]}
    columns = {**columns, "track_id": [known.get(each, each) for each in columns["track_id"]]}
    write({**tables, "sound": pa.table(columns)}, tmp_path)
    with pytest.raises(UserError) as refused:
        logs_of(engine, tmp_path)
    assert "sound.parquet" in str(refused.value)
    for word in words:
        assert word in str(refused.value)
    assert check_directory(engine, tmp_path, Config()).problems == (str(refused.value),)


def test_csv_holds_no_lists(engine: Engine, tables: Tables, tmp_path: Path) -> None:
    write(tables, tmp_path)
    (tmp_path / "sound.csv").write_text('track_id,embedding\n1,"[0.5, 1]"\n')
    with pytest.raises(UserError, match=r"sound.csv, column 'embedding': a CSV file .* Parquet"):
        logs_of(engine, tmp_path)
