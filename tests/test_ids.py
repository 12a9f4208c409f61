"""Ids that are strings: the same results, in the user's own ids."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data.ids import KINDS, Ids, Vocabulary
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import load
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from gpu_coldstart.engine.base import Csr
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.artifacts import decode, encode
from tests.test_tables import arrow, cells, example, message
from tests.worlds import some_world

ENGINE = CpuEngine()
SPACES = {
    "user": [("users", "user_id"), ("interactions", "user_id"), ("playlists", "user_id")],
    "track": [("tracks", "track_id"), ("playlists", "track_id")],
    "artist": [("tracks", "artist_id")],
    "album": [("tracks", "album_id")],
    "playlist": [("playlists", "playlist_id")],
}


def word(number: int) -> str:
    """A string that sorts like the integer, and is not ASCII."""
    return f"é{number + 2**63:020d}"


def with_strings(source: dict[str, pa.Table], *kinds: str) -> dict[str, pa.Table]:
    """The same tables with the ids of some spaces as strings."""
    tables = dict(source)

    def put(table: str, column: str, values: list[Any]) -> None:
        place = tables[table].column_names.index(column)
        tables[table] = tables[table].set_column(place, column, pa.array(values, pa.string()))

    for kind in kinds:
        for table, column in SPACES[kind]:
            if column not in tables[table].column_names:
                continue
            ids = tables[table][column].to_pylist()
            put(table, column, [None if one is None else word(one) for one in ids])
    if {"track", "artist", "album", "playlist"} & set(kinds):
        rows = tables["interactions"]
        pairs = zip(rows["entity"].to_pylist(), rows["entity_id"].to_pylist(), strict=True)
        put(
            "interactions",
            "entity_id",
            [word(one) if kind in kinds else str(one) for kind, one in pairs],
        )
    return tables


def logs_of(source: dict[str, pa.Table]) -> Logs:
    return index(ENGINE, load(ENGINE, source), SplitConfig())[0]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Csr):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(Csr))
    return bool(np.array_equal(one, other, equal_nan=getattr(one, "dtype", None) == np.float32))


@pytest.mark.parametrize("kinds", [KINDS, ("user",), ("artist", "playlist"), ("track",)], ids=str)
def test_the_same_logs_whatever_ids_are(kinds: tuple[str, ...]) -> None:
    source = some_world(5).source()
    plain, named = logs_of(source), logs_of(with_strings(source, *kinds))
    assert named.ids.strings == tuple(kind for kind in KINDS if kind in kinds)
    for field in fields(Logs):
        if field.name not in {"ids", "titles"} and not field.name.endswith("_ids"):
            assert same(getattr(plain, field.name), getattr(named, field.name)), field.name
    for kind in KINDS:
        numbers = getattr(plain, f"{kind}_ids")
        names = named.ids.names(kind, getattr(named, f"{kind}_ids")).to_pylist()
        assert names == [word(int(n)) if kind in kinds else int(n) for n in numbers]


def test_ids_survive_an_artifact() -> None:
    logs = logs_of(with_strings(some_world(5).source(), "track", "user"))
    again = decode(ENGINE, encode(ENGINE, logs), Logs)
    assert again.ids.strings == ("user", "track")
    assert again.ids.words("track") == logs.ids.words("track")
    assert again.ids.words("artist") is None


def test_codes_of_names_and_of_strangers() -> None:
    ids = Ids(track=Vocabulary.of(pa.array(["", "b", "ü"])), strings=("track",))
    assert ids.codes("track", pa.chunked_array([["ü", "x"], ["", "b"]])).tolist() == [2, -1, 0, 1]
    assert ids.names("track", np.array([[2], [0]])).to_pylist() == ["ü", ""]
    assert ids.codes("user", pa.array(["7", "-5"])).tolist() == [7, -5]
    sliced = Vocabulary.of(pa.array(["a", "bc", "", "d"]).slice(1, 2))
    assert sliced.words.to_pylist() == ["bc", ""]


def test_text_in_a_space_of_integers() -> None:
    columns = example()
    columns["tracks"]["artist_id"] = ["a", None]
    columns["interactions"]["entity_id"] = ["100", "four", "1", "a"]
    text = message(arrow(columns))
    assert "column 'entity_id', row 1," in text
    assert "'four' is not an integer, as album ids are" in text
    columns["interactions"]["entity_id"] = [100, 4, 1, 1]
    assert "column 'entity_id', row 3" in message(arrow(columns))


def test_digits_that_are_no_integer_of_a_table() -> None:
    columns = example()
    for text in ("007", "0x64", " 100", "+100", "9" * 30):
        columns["interactions"]["entity_id"] = ["100", "4", "1", text]
        assert f"{text!r} is not an integer, as artist ids are" in message(arrow(columns))


WITHOUT = {"artist": ("tracks", "artist_id"), "playlist": ("playlists", None)}


def without(source: dict[str, pa.Table], *kinds: str) -> dict[str, pa.Table]:
    """The tables without what says which ids of some kinds there are."""
    tables = dict(source)
    for kind in kinds:
        table, column = WITHOUT[kind]
        if column is None:
            del tables[table]
        else:
            tables[table] = tables[table].drop_columns([column])
    return tables


@pytest.mark.parametrize("strings", [("artist", "playlist"), KINDS], ids=str)
def test_ids_of_kinds_that_nothing_owns_are_unknown(strings: tuple[str, ...]) -> None:
    source, lost = some_world(5).source(), ("artist", "playlist")
    plain, named = (
        logs_of(without(source, *lost)),
        logs_of(without(with_strings(source, *strings), *lost)),
    )
    assert plain.ids.unowned == named.ids.unowned == lost
    assert plain.notes == named.notes
    assert not any("unknown" in note for note in named.notes)
    for note in (
        "playlists, but there is no table of them",
        "artists, but the tracks have no artis",
    ):
        assert any(f"interactions name {note}" in said for said in named.notes)
    for name in ("registration", "history", "members"):
        assert same(getattr(plain, name), getattr(named, name))


@pytest.mark.parametrize("kind", ["artist", "album", "playlist"])
@pytest.mark.parametrize("form", ["missing", "nulls"])
def test_most_events_may_be_of_a_kind_that_no_table_knows(kind: str, form: str) -> None:
    """They are no sign of tables that do not belong together."""
    source = dict(some_world(5).source())
    if kind == "playlist":
        source["playlists"] = source["playlists"].slice(0, 0)
    else:
        names = source["tracks"].column_names
        place, nothing = names.index(f"{kind}_id"), pa.nulls(source["tracks"].num_rows, pa.int64())
        source["tracks"] = source["tracks"].remove_column(place)
        if form == "nulls":
            source["tracks"] = source["tracks"].append_column(f"{kind}_id", nothing)
    events = source["interactions"]
    mine = events.filter(pc.equal(events["entity"], kind))
    source["interactions"] = events.filter(pc.not_equal(events["entity"], kind))
    less = logs_of(source)
    source["interactions"] = pa.concat_tables([source["interactions"], *[mine] * 20])
    assert 2 * 20 * mine.num_rows > source["interactions"].num_rows
    more = logs_of(source)
    (said,) = {*more.notes} - {*less.notes}
    assert said.startswith(f"{20 * mine.num_rows} interactions name {kind}s, but")
    for name in ("registration", "history", "favorites"):
        assert same(getattr(less, name), getattr(more, name))


def test_playlists_without_a_value_own_nothing() -> None:
    columns = example()
    columns["interactions"]["entity_id"] = ["100", "4", "p1", "a1"]
    columns["tracks"]["artist_id"] = pa.array([None, None], pa.float64())
    tables = arrow(columns)
    tables["playlists"] = tables["playlists"].slice(0, 0)
    assert load(ENGINE, tables).ids.unowned == ("artist", "playlist")


def test_the_first_unknown_id_is_named() -> None:
    source = with_strings(some_world(5).source(), "user")
    users = source["interactions"]["user_id"].to_pylist()
    strangers = ["anna", *users[1:10], *["ben"] * len(users[10:])]
    source["interactions"] = source["interactions"].set_column(0, "user_id", pa.array(strangers))
    with pytest.raises(UserError, match="'anna' in interactions, column 'user_id', row 0"):
        logs_of(source)


def test_repeated_name() -> None:
    columns = example()
    columns["users"]["user_id"] = ["anna", "ben", "anna"]
    columns["interactions"]["user_id"] = ["anna", "anna", "x", "ben"]
    assert "row 2, counting from 0: the id anna already stands in row 0" in message(arrow(columns))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([100, 2**62], pa.uint64()),
        pa.array([Decimal(100), Decimal(2**62)], pa.decimal128(38, 2)),
    ],
    ids=["uint64", "decimal"],
)
def test_whole_numbers_of_other_types(ids: pa.Array) -> None:
    columns = example()
    columns["tracks"]["track_id"] = ids
    assert cells(load(ENGINE, arrow(columns)).tracks["track_id"]) == [100, 2**62]


def test_floats_that_pandas_makes_of_nullable_integers() -> None:
    columns = example()
    columns["users"]["age"] = pa.array([31.0, float("nan"), None])
    columns["tracks"]["artist_id"] = pa.array([1.0, None])
    loaded = load(ENGINE, arrow(columns))
    assert cells(loaded.users["age"]) == [31, None, None]
    assert cells(loaded.tracks["artist_id"]) == [1, None]
    columns["tracks"]["artist_id"] = pa.array([1.0, 2.0**60])
    assert "row 1, counting from 0" in message(arrow(columns))


def test_all_problems_of_a_table_at_once() -> None:
    columns = example()
    columns["users"]["age"] = [140, None, 131]
    columns["users"]["split"] = ["warm", "tset", "validation"]
    text = message(arrow(columns))
    assert "column 'age', row 0, counting from 0, and 1 more: 140 is outside 0 to 130" in text
    assert "'tset' is none of warm, validation, test, target" in text


def test_tables_that_disagree() -> None:
    columns = example()
    columns["playlists"]["track_id"] = ["a", "b"]
    text = message(arrow(columns))
    assert "playlists, column 'track_id': the ids are strings, but in tracks" in text
    assert "they are integers: write both in the same type" in text


def test_a_fitted_model_answers_in_string_ids() -> None:
    settings: dict[str, Any] = {"preset": "tiny", "strategies": ["semi"], "engine": "cpu"}
    source = dict(generate(PRESETS["tiny"], seed=0))
    # The strings sort like the integers, so every tie falls the same way.
    plain = ColdStart(**settings).fit(Dataset.from_frames(**source))
    named = ColdStart(**settings).fit(Dataset.from_frames(**with_strings(source, *KINDS)))
    entity = int(plain.fitted.model.entities.track_ids[3])
    users = {"user_id": [7], "country": ["FR"], "age": [31]}
    event = {"action": ["stream"], "entity": ["track"]}
    lists = plain.recommend(users, {"user_id": [7], **event, "entity_id": [entity]}, k=5)
    others = named.recommend(
        {**users, "user_id": ["anna"]},
        {"user_id": ["anna"], **event, "entity_id": [word(entity)]},
        k=5,
    )
    assert others["user_id"].to_pylist() == ["anna"] * 5
    assert others["track_id"].to_pylist() == [word(one) for one in lists["track_id"].to_pylist()]
    assert others["score"].equals(lists["score"])
    assert not json.loads(others.schema.metadata[b"notes"])


def test_a_model_knows_no_ids_of_kinds_its_data_did_not_have(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"preset": "tiny", "strategies": ["semi"], "engine": "cpu"}
    source = without(dict(generate(PRESETS["tiny"], seed=0)), "playlist")
    model = ColdStart(**settings).fit(Dataset.from_frames(**source))
    model.save(tmp_path / "bundle")
    answer = ColdStart.load(tmp_path / "bundle", engine="cpu").recommend(
        {"user_id": ["anna"]},
        {
            "user_id": ["anna"] * 2,
            "action": ["stream"] * 2,
            "entity": ["playlist", "track"],
            "entity_id": ["p1", str(int(model.fitted.model.entities.track_ids[3]))],
        },
        k=5,
    )
    notes = json.loads(answer.schema.metadata[b"notes"])
    assert notes == [
        "1 of 2 interactions name unknown tracks, artists, albums or playlists; left out"
    ]
