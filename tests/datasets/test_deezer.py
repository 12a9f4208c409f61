"""The public release of the paper's data: what is read out of a good copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gpu_coldstart.data.signals import SCALARS
from gpu_coldstart.datasets.deezer.release import PARTS, SHORT, UserFeatures, open_release
from tests.datasets.releases import (
    DIMENSIONS,
    EXAMPLE,
    FORMS,
    ID,
    IDS,
    SONGS,
    SPACES,
    changed,
    everything,
    heard,
    naive,
    notes_of,
    opened,
    same,
    shuffled,
    write,
)

# -- what is read ----------------------------------------------------------------------------------


def test_points_are_the_files_columns(tmp_path: Path) -> None:
    release = opened(tmp_path, EXAMPLE)
    assert release.dimensions == DIMENSIONS
    assert notes_of(release) == ()
    for space in SPACES:
        for points, table, column, ids in (
            (release.songs(space), "song_embeddings", f"features_{SHORT[space]}", SONGS),
            (
                release.warm_users(space),
                "user_embeddings",
                f"{SHORT[space]}_embeddings",
                IDS["train"],
            ),
        ):
            assert points.ids.tolist() == ids
            assert points.ids.dtype == np.int64
            assert points.vectors.dtype == np.float32
            assert points.vectors.tolist() == EXAMPLE[table].column(column).to_pylist()


def check_features(
    features: UserFeatures, expected: dict[int, tuple[list[float], list[int]]]
) -> None:
    assert features.ids.tolist() == list(expected)
    assert features.vectors.tolist() == [vector for vector, _ in expected.values()]
    songs = [
        features.songs[a:b].tolist()
        for a, b in zip(features.indptr[:-1], features.indptr[1:], strict=True)
    ]
    assert songs == [songs for _, songs in expected.values()]
    assert features.vectors.dtype == np.float32
    for array in (features.ids, features.indptr, features.songs):
        assert array.dtype == np.int64


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("part", PARTS)
def test_features_are_the_files_cells(tmp_path: Path, space: str, part: str) -> None:
    features = opened(tmp_path, EXAMPLE).features(space, part)
    assert features.vectors.shape == (len(IDS[part]), 20 * DIMENSIONS[space] + 19)
    check_features(features, naive(EXAMPLE, space, part))


def test_train_features_and_warm_users_are_in_one_order(tmp_path: Path) -> None:
    tables = dict(EXAMPLE)
    tables["user_embeddings"] = EXAMPLE["user_embeddings"].take([5, 2, 0, 1, 4, 3])
    release = opened(tmp_path, tables)
    assert release.warm_users("ut-als").ids.tolist() == IDS["train"]
    assert release.features("ut-als", "train").ids.tolist() == IDS["train"]
    assert same(everything(release), everything(opened(tmp_path / "plain", EXAMPLE)))


@pytest.mark.parametrize("space", SPACES)
def test_only_the_files_of_the_space_are_needed(tmp_path: Path, space: str) -> None:
    other = next(name for name in SPACES if name != space)
    tables = {name: table for name, table in EXAMPLE.items() if not name.endswith(SHORT[other])}
    tables["song_embeddings"] = tables["song_embeddings"].drop_columns(f"features_{SHORT[other]}")
    tables["user_embeddings"] = tables["user_embeddings"].drop_columns(f"{SHORT[other]}_embeddings")
    release = opened(tmp_path, tables, (space,))
    whole = everything(opened(tmp_path / "whole", EXAMPLE))
    assert same(
        everything(release, (space,)),
        {key: value for key, value in whole.items() if key.startswith(space)},
    )


# -- in whatever form ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("groups", [None, 2])
def test_every_form_reads_the_same(tmp_path: Path, form: str, groups: int | None) -> None:
    draw = np.random.default_rng(1)
    tables = {name: shuffled(FORMS[form](table), draw) for name, table in EXAMPLE.items()}
    options = {} if groups is None else {"row_group_size": groups}
    release = open_release(write(tmp_path / "form", tables, **options), SPACES)
    assert same(everything(release), everything(opened(tmp_path / "plain", EXAMPLE)))
    assert notes_of(release) == ()


def test_ids_and_songs_of_32_bits(tmp_path: Path) -> None:
    tables = {}
    for name, table in EXAMPLE.items():
        small = changed(table, ID[name], lambda ids: [x % 2**31 for x in ids], pa.int32())
        if "d1d30_songs" in table.column_names:
            small = changed(
                small,
                "d1d30_songs",
                lambda rows: [[x % 2**31 for x in row] for row in rows],
                pa.list_(pa.int32()),
            )
        tables[name] = small
    release = opened(tmp_path, tables)
    check_features(release.features("tt-svd", "test"), naive(tables, "tt-svd", "test"))
    assert release.songs("tt-svd").ids.tolist() == sorted(x % 2**31 for x in SONGS)
    vectors = EXAMPLE["song_embeddings"].column("features_svd").to_pylist()
    assert release.songs("tt-svd").vectors[0].tolist() == vectors[-1]


def test_songs_as_floats(tmp_path: Path) -> None:
    tables = {
        name: changed(
            table,
            "d1d30_songs",
            lambda rows: [[float(song) for song in row] for row in rows],
        )
        if "d1d30_songs" in table.column_names
        else table
        for name, table in EXAMPLE.items()
    }
    texts = {
        name: changed(table, "d1d30_songs", lambda rows: [str(row) for row in rows])
        if "d1d30_songs" in table.column_names
        else table
        for name, table in tables.items()
    }
    assert "8589934592.0" in str(texts["user_features_train_mf"].column("d1d30_songs"))
    plain = everything(opened(tmp_path / "plain", EXAMPLE))
    assert same(everything(opened(tmp_path / "floats", tables)), plain)
    assert same(everything(opened(tmp_path / "texts", texts)), plain)


def test_a_count_column_without_a_number(tmp_path: Path) -> None:
    """As pandas may write one that is all None."""
    tables = dict(EXAMPLE)
    name = "user_features_test_svd"
    tables[name] = changed(EXAMPLE[name], "nb_banned_songs", lambda cells: pa.nulls(len(cells)))
    features = opened(tmp_path, tables).features("tt-svd", "test")
    assert not features.vectors[:, SCALARS.index("nb_banned_songs") - len(SCALARS)].any()
    check_features(features, naive(tables, "tt-svd", "test"))


# -- what is left out ------------------------------------------------------------------------------


def test_unknown_and_repeated_songs_are_left_out(tmp_path: Path) -> None:
    tables = heard("validation", [[31, 7, 31, 2], [30, -1, 5], [2**33, 999]])
    release = opened(tmp_path, tables)
    features = release.features("tt-svd", "validation")
    check_features(features, naive(tables, "tt-svd", "validation"))
    assert features.songs.tolist() == [2, 31, 5, 30, 2**33]
    file = "user_features_validation_svd.parquet"
    assert notes_of(release) == (
        f"3 of 9 songs in d1d30_songs of {file} are not in song_embeddings.parquet; left out",
    )


def test_users_without_a_known_song_are_left_out_unless_warm(tmp_path: Path) -> None:
    tables = heard("validation", [[31, 2], [7], []])
    tables |= {
        name: table
        for name, table in heard("train", [[], [2], [5], [9], [30], [31]]).items()
        if "train" in name
    }
    release = opened(tmp_path, tables)
    for space in SPACES:
        for part in ("train", "validation"):
            check_features(release.features(space, part), naive(tables, space, part))
    assert release.features("ut-als", "validation").ids.tolist() == [5]
    train = release.features("ut-als", "train")
    assert train.ids.tolist() == IDS["train"]
    assert np.diff(train.indptr).tolist() == [0, 1, 1, 0, 1, 1]
    where = "d1d30_songs of user_features_{}.parquet are not in song_embeddings.parquet; left out"
    idle = (
        "2 users of user_features_validation_{}.parquet have no known song in d1d30_songs; left out"
    )
    assert notes_of(release) == (
        f"1 of 5 songs in {where.format('train_svd')}",
        f"1 of 3 songs in {where.format('validation_svd')}",
        idle.format("svd"),
        f"1 of 5 songs in {where.format('train_mf')}",
        f"1 of 3 songs in {where.format('validation_mf')}",
        idle.format("mf"),
    )


def test_rows_that_are_left_out_may_be_anywhere(tmp_path: Path) -> None:
    for idle in range(3):
        tables = heard("validation", [[] if i == idle else [2, 5] for i in range(3)])
        release = open_release(write(tmp_path, tables, row_group_size=1), SPACES)
        check_features(
            release.features("ut-als", "validation"), naive(tables, "ut-als", "validation")
        )


def test_files_of_two_spaces_that_disagree_on_songs_are_noted(tmp_path: Path) -> None:
    tables = dict(EXAMPLE)
    tables["user_features_test_mf"] = heard("test", [[2], [4]])["user_features_test_mf"]
    release = opened(tmp_path, tables)
    everything(release)
    everything(release)
    assert notes_of(release) == (
        "warning: d1d30_songs of user_features_test_mf.parquet is not that of "
        "user_features_test_svd.parquet",
    )
