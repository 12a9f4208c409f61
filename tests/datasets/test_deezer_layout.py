"""The synthetic world as the release: its files, its columns, and where their values come from."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.cli.main import main
from gpu_coldstart.datasets.deezer import layout as deezer_layout
from gpu_coldstart.datasets.deezer.release import PARTS, open_release
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from tests.datasets.releases import everything, notes_of, same
from tests.expectations import BLOCKS, SCALARS

SEED = 5
DIMENSIONS = {"svd": 24, "mf": 32}


def run(out: Path, *more: str) -> int:
    arguments = ["--preset", "tiny", "--seed", str(SEED), "--out", str(out), *more]
    return main(["data", "deezer-layout", *arguments])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("layout") / "new"
    assert run(out) == 0
    return out


def read(written: Path, name: str) -> Any:
    return pq.read_table(written / f"{name}.parquet")


def test_files(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        "song_embeddings.parquet",
        "user_embeddings.parquet",
        "user_features_test_mf.parquet",
        "user_features_test_svd.parquet",
        "user_features_train_mf.parquet",
        "user_features_train_svd.parquet",
        "user_features_validation_mf.parquet",
        "user_features_validation_svd.parquet",
    ]
    assert len({path.stat().st_mode for path in written.iterdir()}) == 1


@pytest.mark.parametrize(
    ("name", "column", "kind"), [("song", "song", "features_{}"), ("user", "user", "{}_embeddings")]
)
def test_embeddings(written: Path, name: str, column: str, kind: str) -> None:
    table = read(written, f"{name}_embeddings")
    assert table.column_names == [f"{column}_index", kind.format("svd"), kind.format("mf")]
    assert table.column(0).to_pylist() == list(range(600 if name == "song" else 400))
    for short, dimension in DIMENSIONS.items():
        vectors = np.array(table.column(kind.format(short)).to_pylist())
        assert vectors.shape[1] == dimension
        lengths = np.linalg.norm(vectors, axis=1)
        if (name, short) == ("song", "mf"):
            assert lengths.std() > 0.1
        else:
            unit = lengths > 0
            np.testing.assert_allclose(lengths[unit], 1, rtol=1e-5)
            assert unit.mean() > 0.99


@pytest.mark.parametrize("short", DIMENSIONS)
@pytest.mark.parametrize(
    ("part", "first", "n"), [("train", 0, 400), ("validation", 400, 80), ("test", 480, 80)]
)
def test_columns_in_order(written: Path, part: str, first: int, n: int, short: str) -> None:
    table = read(written, f"user_features_{part}_{short}")
    blocks = [f"{block}_embedding{i}" for block in BLOCKS for i in range(DIMENSIONS[short])]
    assert table.column_names == ["user_index", "d1d30_songs", *blocks, *SCALARS]
    assert table.column("user_index").to_pylist() == list(range(first, first + n))
    assert table.schema.field("d1d30_songs").type == pa.list_(pa.int64())


# -- values, made anew from the tables -------------------------------------------------------------


@dataclass
class World:
    """The tables as dicts; users by ``user_index``, tracks by ``song_index``."""

    users: list[dict[str, Any]]
    song: dict[int, int]
    artist: dict[int, int]
    album: dict[int, int]
    members: dict[tuple[str, int], list[int]]
    events: dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def world() -> World:
    tables = {name: table.to_pylist() for name, table in generate(PRESETS["tiny"], SEED).items()}
    places = {"warm": 0, "validation": 1, "test": 2}
    users = sorted(tables["users"], key=lambda row: (places[row["split"]], row["user_id"]))
    song = {row: i for i, row in enumerate(sorted(row["track_id"] for row in tables["tracks"]))}
    members: dict[tuple[str, int], set[int]] = defaultdict(set)
    for row in tables["tracks"]:
        members["track", row["track_id"]] = {song[row["track_id"]]}
        members["artist", row["artist_id"]].add(song[row["track_id"]])
        members["album", row["album_id"]].add(song[row["track_id"]])
    for row in tables["playlists"]:
        members["playlist", row["playlist_id"]].add(song[row["track_id"]])
    number = {row["user_id"]: i for i, row in enumerate(users)}
    events: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in tables["interactions"]:
        user = number[row["user_id"]]
        days = row["timestamp"].date() - users[user]["registered_at"].date()
        events[user].append(row | {"day": days.days})
    return World(
        users=users,
        song=song,
        artist={row["track_id"]: row["artist_id"] for row in tables["tracks"]},
        album={row["track_id"]: row["album_id"] for row in tables["tracks"]},
        members={key: sorted(tracks) for key, tracks in members.items()},
        events=events,
    )


SOME = {"train": (0, 57, 399), "validation": (400, 441, 479), "test": (480, 500, 559)}


def row_of(written: Path, part: str, short: str, user: int) -> dict[str, Any]:
    table = read(written, f"user_features_{part}_{short}")
    (row,) = (row for row in table.to_pylist() if row["user_index"] == user)
    found: dict[str, Any] = row
    return found


def block_of(row: dict[str, Any], block: str, short: str) -> npt.NDArray[Any]:
    return np.array([row[f"{block}_embedding{i}"] for i in range(DIMENSIONS[short])])


@pytest.mark.parametrize("part", PARTS)
def test_songs_are_those_of_days_1_to_30(written: Path, world: World, part: str) -> None:
    everybody = read(written, f"user_features_{part}_svd").to_pydict()
    for user, songs in zip(everybody["user_index"], everybody["d1d30_songs"], strict=True):
        streamed = {
            world.song[event["entity_id"]]
            for event in world.events[user]
            if event["action"] == "stream" and 1 <= event["day"] <= 30
        }
        assert songs == sorted(streamed)
    assert any(event["day"] > 30 for user in SOME["train"] for event in world.events[user])
    other = read(written, f"user_features_{part}_mf").column("d1d30_songs").to_pylist()
    assert other == everybody["d1d30_songs"]


def signal_events(world: World, user: int, name: str) -> list[tuple[str, int]]:
    """Entities of a signal's events on the registration day, as often as they happened."""
    words = {"favorite": "favorite", "skipped": "skip", "streamed": "stream", "banned": "ban"}
    words |= {"search": "search", "onboarding": "onboarding"}
    action, kind = words[name.split("_")[0]], name.split("_")[-1].removesuffix("s")
    kind = {"song": "track"}.get(kind, kind)
    found = []
    for event in world.events[user]:
        if event["day"] != 0 or event["action"] != action:
            continue
        entity = event["entity"], event["entity_id"]
        if (
            entity[0] == "track"
            and kind in {"artist", "album"}
            and action in {"skip", "stream", "ban"}
        ):
            owner = world.artist if kind == "artist" else world.album
            entity = kind, owner[entity[1]]
        if entity[0] == kind:
            found += [entity] * event["count"]
    return found


@pytest.mark.parametrize("short", DIMENSIONS)
@pytest.mark.parametrize("part", PARTS)
def test_signals_are_means_of_the_days_entities(
    written: Path, world: World, part: str, short: str
) -> None:
    songs = np.array(read(written, "song_embeddings").column(f"features_{short}").to_pylist())
    seen = 0
    for user in SOME[part]:
        row = row_of(written, part, short, user)
        for name in BLOCKS[2:]:
            entities = signal_events(world, user, name)
            seen += bool(entities)
            assert row[f"nb_{name}"] == len(entities)
            means = [songs[world.members[entity]].mean(axis=0) for entity in entities]
            expected = np.mean(means, axis=0) if means else np.zeros(songs.shape[1])
            np.testing.assert_allclose(block_of(row, name, short), expected, atol=2e-5)
    assert seen > 8


@pytest.mark.parametrize("short", DIMENSIONS)
@pytest.mark.parametrize("part", PARTS)
def test_age_and_country_are_means_of_warm_users(
    written: Path, world: World, part: str, short: str
) -> None:
    warm = np.array(read(written, "user_embeddings").column(f"{short}_embeddings").to_pylist())

    def age_class(user: int) -> int | None:
        age = world.users[user]["age"]
        return None if age is None else sum(age >= first for first in (18, 25, 35, 50, 65))

    unknown = next(user for user in range(400) if world.users[user]["age"] is None)
    for user in (*SOME[part], *([unknown] if part == "train" else [])):
        row = row_of(written, part, short, user)
        assert row["age_value"] == (world.users[user]["age"] or 0)
        country = world.users[user]["country"]
        like_age = [age_class(other) == age_class(user) for other in range(400)]
        like_country = [world.users[other]["country"] == country for other in range(400)]
        for block, known, like in (
            ("age", age_class(user) is not None, like_age),
            ("country", country is not None, like_country),
        ):
            expected = warm[like].mean(axis=0) if known else np.zeros(warm.shape[1])
            np.testing.assert_allclose(block_of(row, block, short), expected, atol=1e-5)


# -- as a whole ------------------------------------------------------------------------------------


def test_it_opens(written: Path) -> None:
    release = open_release(written, ("tt-svd", "ut-als"))
    assert release.dimensions == {"tt-svd": 24, "ut-als": 32}
    found = everything(release)
    assert notes_of(release) == ()
    assert found["tt-svd train vectors"].shape == (400, 20 * 24 + 19)
    assert found["ut-als test vectors"].shape == (80, 20 * 32 + 19)


def test_text_reads_the_same(written: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "--strings") == 0
    spaces = ("tt-svd", "ut-als")
    for name in ("song_embeddings", "user_embeddings", "user_features_test_mf"):
        for field in read(tmp_path, name).schema:
            is_list = "features" in field.name or field.name in {"d1d30_songs", "svd_embeddings"}
            assert not pa.types.is_list(field.type)
            assert pa.types.is_string(field.type) or not is_list
    text = read(tmp_path, "user_features_test_mf").column("d1d30_songs")[0].as_py()
    assert text == str(read(written, "user_features_test_mf").column("d1d30_songs")[0].as_py())
    texts, plain = open_release(tmp_path, spaces), open_release(written, spaces)
    assert same(everything(texts), everything(plain))


def test_the_same_seed_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_files_are_replaced_only_when_forced(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "user_features_test_mf.parquet"
    (tmp_path / name).write_text("precious")
    assert run(tmp_path) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / name} is there already: name another folder or add --force\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run(tmp_path, "--force") == 0
    assert f"{tmp_path / name}: 80 rows\n" in capsys.readouterr().out
    assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_a_bad_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "data",
        "deezer-layout",
        "--preset",
        "tiny",
        "--out",
        str(tmp_path),
        "--seed",
        "-1",
    ]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "error: Invalid value for '--seed': -1 is not a whole number from 0 to 2147483647\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", [1, 4, 8, 9])
def test_a_write_that_fails_leaves_nothing(
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: int,
) -> None:
    """The disk is full while a file is written (1 to 8), or the names in the end."""
    writers = {
        name: lambda file, name=name: file.write((written / f"{name}.parquet").read_bytes())
        for name in deezer_layout.FILES
    }
    monkeypatch.setattr(deezer_layout, "make", lambda *_, **__: writers)
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert run(tmp_path) == 2
    assert "No space left on device" in capsys.readouterr().err
    left = {path.name for path in tmp_path.iterdir()}
    # Once every file is whole and has its name, they stay.
    assert left == (set() if failing < 9 else {f"{name}.parquet" for name in deezer_layout.FILES})


def test_an_interruption_within_a_file_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pq.ParquetWriter, "write_table", half)
    assert run(tmp_path) == 130
    assert not list(tmp_path.iterdir())
