"""A track that nobody has heard yet, from the tables to a list of recommendations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.errors import UserError
from tests.runs.helpers import SIZES, Tables, column, rows_of, table_of


def latest(tables: Tables) -> tuple[Tables, int, list[int]]:
    """Tables in which no one has met a track of an album, and the album's others, in playlists."""
    tracks = rows_of(tables["tracks"])
    listed = set(column(tables["playlists"], "track_id"))
    albums = Counter(row["album_id"] for row in tracks if row["track_id"] in listed)
    album = max(albums, key=lambda each: (albums[each], each))
    new, *others = [
        row["track_id"] for row in tracks if row["album_id"] == album and row["track_id"] in listed
    ]
    events = [
        row
        for row in rows_of(tables["interactions"])
        if (row["entity"], row["entity_id"]) != ("track", new)
    ]
    playlists = [row for row in rows_of(tables["playlists"]) if row["track_id"] != new]
    changed = {
        "interactions": table_of(events, tables["interactions"]),
        "playlists": table_of(playlists, tables["playlists"]),
    }
    return {**tables, **changed}, new, others


def recommended(
    tables: dict[str, Any], others: list[int], path: Path, **settings: Any
) -> list[int]:
    """What a saved model has for someone who streams an album on the first day."""
    values: dict[str, Any] = {"strategies": {"names": ["registration-day"]}}
    for key, value in SIZES.items():
        section, name = key.split(".")
        values.setdefault(section, {})[name] = value
    model = ColdStart(engine="cpu", preset="tiny", **(values | settings))
    model.fit(Dataset.from_frames(**tables)).save(path)
    played = {
        "user_id": ["zoe"] * len(others),
        "action": ["stream"] * len(others),
        "entity": ["track"] * len(others),
        "entity_id": others,
    }
    answer = ColdStart.load(path, engine="cpu").recommend({"user_id": ["zoe"]}, played, k=10)
    tracks: list[int] = answer["track_id"].to_pylist()
    return tracks


@pytest.mark.parametrize("space", ["tt-svd", "ut-als"])
def test_a_new_track_of_a_streamed_album_is_recommended_at_once(
    space: str, tables: Tables, tmp_path: Path
) -> None:
    """It lies exactly where the user is: at the mean of the album's others."""
    without, new, others = latest(tables)
    on: dict[str, Any] = {"new_releases": {"place": True}}
    assert recommended(without, others, tmp_path / "on", space=space, **on)[0] == new
    assert new not in recommended(without, others, tmp_path / "off", space=space)


def test_a_new_track_that_nothing_is_known_of_but_its_sound(tables: Tables, tmp_path: Path) -> None:
    """It lies where the one track lies that sounds most like it, which is all that was played."""
    without, new, others = latest(tables)
    tracks = without["tracks"]["track_id"].to_pylist()
    places = {track: [float(row), 1.0] for row, track in enumerate(tracks)} | {new: [-9.0, -1.0]}
    places[others[0]] = [-9.0, -1.1]
    sound = {"track_id": list(places), "embedding": list(places.values())}
    on = {"place": True, "sources": ("sound",), "neighbours": 1}
    heard = recommended({**without, "sound": sound}, others[:1], tmp_path / "on", new_releases=on)
    assert set(heard[:2]) == {new, others[0]}
    with pytest.raises(UserError, match=r"'new_releases.sources' names sound, .* sound.parquet"):
        recommended(without, others, tmp_path / "off", new_releases=on)
