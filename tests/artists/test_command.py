"""``gpu-coldstart artists``: train, evaluate, split and embed, on files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.artists.homonyms import read
from gpu_coldstart.artists.tables import Catalogue, with_artists
from gpu_coldstart.cli.artists import app
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.data.tables import read as read_tables
from gpu_coldstart.engine import choose
from gpu_coldstart.errors import UserError
from tests.artists.sounds import SETTINGS, write
from tests.runs.helpers import Result, refused
from tests.runs.helpers import write as write_tables
from tests.test_cli import calling


def artists(*arguments: object) -> Result:
    return calling("artists", *arguments, "--engine", "cpu")


def done(*arguments: object) -> str:
    result = artists(*arguments)
    assert (result.status, result.err) == (0, "")
    return result.out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model``, of seven of the ten artists in ``known``; ``mixed``, where two have one id."""
    place = tmp_path_factory.mktemp("artists")
    write(place / "known", 10, 3)
    write(place / "mixed", 4, 6, merge=2, text=False)
    known = ("--data", place / "known", "--audio", place / "known/audio")
    told = done("train", *known, "--out", place / "model", "--test", 3, *SETTINGS)
    assert "learned from 21 tracks of 7 artists" in told
    return place


def of(place: Path) -> tuple[object, ...]:
    return ("--data", place, "--audio", place / "audio")


def test_evaluate_looks_at_artists_that_were_left_out(trained: Path) -> None:
    told = done("evaluate", trained / "model", *of(trained / "known"), "--groups", 60).splitlines()
    assert "9 tracks of 3 artists, 7 groups" in told
    rows = {line.split("  ")[0]: line.split()[-5:] for line in told}
    assert rows["one cluster"] == ["0.000", "0.000", "0.000", "1.000", "nan"]
    for way in ("network", "mean MFCC"):
        assert 0 <= float(rows[way][-1]) < 0.5


def test_the_papers_list_of_homonyms(trained: Path, tmp_path: Path) -> None:
    """Each track stands there several times; sound is there of two artists of one name."""
    rows = [f"{track},Nobody_{track % 4},0" for track in (*range(24), 99)]
    listed = tmp_path / "homonym_dataset.csv"
    listed.write_text("\n".join(["sng_id,art_name,fold", *rows, *rows, ""]))
    audio = ("--audio", trained / "mixed/audio", "--homonyms", listed)
    assert "24 tracks of 4 artists, 1 groups" in done("evaluate", trained / "model", *audio)
    catalogue, names = read(listed)
    assert (len(catalogue.tracks), set(names)) == (25, {"Nobody"})
    for content, words in (
        ("sng_id,art_name\n1,A_0\n1,A_1\n", "gives track 1 to two artists"),
        ("a,b\n1,2\n", "lacks the columns sng_id and art_name"),
        ("sng_id,art_name\nx,A_0\n", "cannot be read as CSV"),
    ):
        listed.write_text(content)
        with pytest.raises(UserError, match=words):
            read(listed)


def test_split(trained: Path, tmp_path: Path) -> None:
    """Two artists who have one id get two; nothing else of the table is another."""
    options = (trained / "model", *of(trained / "mixed"), "--out", tmp_path)
    told = done("split", *options)
    before = pq.read_table(trained / "mixed/tracks.parquet")
    after = pq.read_table(tmp_path / "tracks.parquet")
    assert after.drop(["artist_id"]).equals(before.drop(["artist_id"]))
    truth = np.arange(24) % 4
    made = np.array(after["artist_id"])
    shared = sum(len(set(made[truth == artist].tolist())) == 1 for artist in range(4))
    assert shared >= 3
    assert len(set(made.tolist())) > 2
    assert {0, 1} <= set(made.tolist()) <= set(range(9))
    assert "artists split: written to" in told
    refused(artists("split", *options), "is there already", "--force")
    # An artist who is not looked at, and one without sound, stay as they are.
    done("split", *options, "--artist", 1, "--force")
    again = np.array(pq.read_table(tmp_path / "tracks.parquet")["artist_id"])
    assert (again[truth < 2] == 0).all()
    done("split", *options, "--least", 99, "--force")
    assert pq.read_table(tmp_path / "tracks.parquet").equals(before)
    (trained / "mixed/few").mkdir()
    (trained / "mixed/few/3.wav").write_bytes((trained / "mixed/audio/3.wav").read_bytes())
    few = (trained / "model", "--data", trained / "mixed", "--audio", trained / "mixed/few")
    assert "23 tracks have no sound" in done("split", *few, "--out", tmp_path / "few")


def test_embed(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "places.parquet"
    done("embed", trained / "model", *of(trained / "mixed"), "--out", out)
    table = pq.read_table(out)
    assert table["track_id"].to_pylist() == list(range(24))
    places = np.array(table["embedding"].to_pylist())
    np.testing.assert_allclose((places**2).sum(axis=1), 1, rtol=1e-5)
    # It is a table that runs take.
    engine, _ = choose("cpu")
    taken = read_tables(engine, {"tracks": trained / "mixed/tracks.parquet", "sound": out})
    assert not taken.problems
    np.testing.assert_allclose(taken.tables["sound"]["embedding"].values, places, rtol=1e-5)


def test_a_track_without_a_genre_has_none(trained: Path) -> None:
    audio = {str(track): trained / f"mixed/audio/{track}.wav" for track in range(4)}
    genres = ["b", None, "a", "b"]
    catalogue = Catalogue(pa.table({}), list("0123"), ["y", "x", None, "y"], genres)
    rows = catalogue.rows(audio, lambda artist: artist is not None)
    tracks = catalogue.hear(rows, audio, ArtistsConfig(excerpts=1, seconds=0.5))
    assert (tracks.names, tracks.artists.tolist()) == (("x", "y"), [1, 0, 1])
    assert tracks.genres[1] == -1
    assert tracks.genres[0] == tracks.genres[2] >= 0


def test_new_ids_are_nobodys() -> None:
    """Also where text looks like one that is new; without an artist there is nothing to split."""
    ids = ["a", "a", "a", "a#2", None]
    table = pa.table({"track_id": range(5), "artist_id": ids})
    catalogue = Catalogue(table, list("01234"), ids, [None] * 5)
    made = with_artists(catalogue, {1: 1, 2: 2})
    assert made["artist_id"].to_pylist() == ["a", "a#3", "a#4", "a#2", None]
    numbers = [7, 7, 9, 9, None]
    table = pa.table({"track_id": range(5), "artist_id": pa.array(numbers, pa.int64())})
    catalogue = Catalogue(table, list("01234"), ["7", "7", "9", "9", None], [None] * 5)
    made = with_artists(catalogue, {1: 1, 3: 1})
    assert made["artist_id"].to_pylist() == [7, 10, 9, 11, None]


def test_what_is_refused(trained: Path, tmp_path: Path) -> None:
    model, known = trained / "model", of(trained / "known")
    new = ("--out", tmp_path / "new")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "tracks.csv").write_text("track_id,title\n1,x\n")
    twice = tmp_path / "twice"
    twice.mkdir()
    (twice / "tracks.csv").write_text("track_id,artist_id\n1,5\n1,5\n")
    listed = tmp_path / "listed"
    write_tables({"tracks": pa.table({"track_id": [1], "artist_id": [[5]]})}, listed)
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "junk").write_bytes(b"junk")
    audio = ("--audio", trained / "known/audio")
    for arguments, words in (
        (("train", *known, "--out", model), ["is there already", "--force"]),
        (("train", *known, *new, "--set", "epoch=3"), ["'epoch'", "did you mean epochs"]),
        (("train", *known, *new, "--set", "miner=easy"), ["'miner'", "'easy'"]),
        (("train", *known, *new, "--set", "margin=0"), ["'margin'", "at least"]),
        (("train", *known, *new, "--test", 7), ["the sound of 3 artists is too little"]),
        (("train", *known, *new, "--test", 10), ["the sound of 0 artists is too little"]),
        (("split", model, "--data", bad, *audio, *new), ["no column 'artist_id'"]),
        (("split", model, "--data", listed, *audio, *new), ["'artist_id'", "the type is list"]),
        (("split", model, "--data", twice, *audio, *new), ["'track_id'", "twice"]),
        (("split", model, "--data", empty, *audio, *new), ["holds no tracks.parquet"]),
        (("split", model, *known, *new, "--artist", "nobody"), ["'nobody'", "no artist of"]),
        (("split", tmp_path / "junk", *known, *new), ["junk", "artists train"]),
        (("split", tmp_path / "none", *known, *new), ["none", "cannot be read"]),
        (("embed", model, *known, "--out", tmp_path / "x.csv"), [".parquet"]),
        (("evaluate", model, *audio), ["--data or --homonyms"]),
        (("evaluate", model, *known, "--groups", 0), ["--groups is 0", "at least 1"]),
        (("evaluate", model, "--data", trained / "known", "--audio", empty), ["no sound files"]),
    ):
        refused(artists(*arguments), *words)
    assert not (tmp_path / "new").exists()


def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("gpu_coldstart.artists.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "librosa", None)
    result = artists("train", *of(tmp_path), "--out", tmp_path / "model")
    refused(result, "librosa", "pip install 'gpu-coldstart[audio]'")
    assert app.info.help
