"""Titles of tracks and playlists, wherever these are shown to a person."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart import ColdStart, Dataset
from tests.runs.helpers import Tables, column, command, events, with_column, write
from tests.runs.served import sections

SPACE = "tt-svd"


def titled(tables: Tables) -> Tables:
    """The tables with titles; every third track has none."""
    tracks, playlists = tables["tracks"], tables["playlists"]
    ids = column(tracks, "track_id")
    titles = [None if i % 3 == 0 else f"Song {each}" for i, each in enumerate(ids)]
    artists = [f"Artist {each}" for each in column(tracks, "artist_id")]
    lists = [f"List {each}" for each in column(playlists, "playlist_id")]
    return {
        **tables,
        "tracks": with_column(with_column(tracks, "title", titles), "artist_name", artists),
        "playlists": with_column(playlists, "title", lists),
    }


def fits(table: pa.Table, source: pa.Table) -> None:
    """Titles and artists stand beside the tracks they belong to."""
    rows = zip(
        *(column(source, name) for name in ("track_id", "title", "artist_name")), strict=True
    )
    wanted = {track: (title, artist) for track, title, artist in rows}
    assert len(table)
    for row in table.to_pylist():
        assert (row["title"], row["artist_name"]) == wanted[row["track_id"]]


def test_a_run_shows_them(tables: Tables, tmp_path: Path) -> None:
    named = titled(tables)
    data = write(named, tmp_path / "data")
    result = command(*events(data, spaces=SPACE), "--out", tmp_path / "run")
    assert result.status == 0, result.err
    fits(
        pq.read_table(tmp_path / f"run/artifacts/{SPACE}/segments.tracks.parquet"), named["tracks"]
    )
    shown = pq.read_table(tmp_path / f"run/recommendations/{SPACE}/carousel-full.parquet")
    assert column(shown, "title") == [f"List {each}" for each in column(shown, "playlist_id")]
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Song " in page
    assert "List " in page


def test_a_model_answers_with_them(tables: Tables, tmp_path: Path) -> None:
    named = titled(tables)
    model = ColdStart(space=SPACE, engine="cpu", **sections()).fit(Dataset.from_frames(**named))
    model.save(tmp_path / "bundle")
    loaded = ColdStart.load(tmp_path / "bundle", engine="cpu")
    fits(loaded.recommend({"user_id": ["zoe"]}, k=20), named["tracks"])
    shown = loaded.carousels({"user_id": ["zoe"]})["default"]
    assert column(shown, "title") == [f"List {each}" for each in column(shown, "playlist_id")]
    first = loaded.segments.to_pylist()[0]
    assert len(first["title"]) == len(first["artist_name"]) == len(first["track_id"])


def test_without_them_there_are_no_such_columns(tables: Tables) -> None:
    model = ColdStart(space=SPACE, engine="cpu", **sections()).fit(Dataset.from_frames(**tables))
    assert "title" not in model.recommend({"user_id": [1]}, k=2).column_names
    assert "title" not in model.segments.column_names
