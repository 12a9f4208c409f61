"""The public release of the paper's data: what is said of a bad copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gpu_coldstart.datasets.deezer.release import SHORT, open_release
from tests.datasets.releases import (
    EXAMPLE,
    FORMS,
    SPACES,
    cell,
    changed,
    heard,
    message,
    put,
    write,
)

# -- what is wrong with a copy ---------------------------------------------------------------------


def test_no_directory(tmp_path: Path) -> None:
    text = message(tmp_path / "none")
    assert text.startswith(f"{tmp_path / 'none'} is not a directory: name the one that holds")
    assert "A Semi-Personalized System for User Cold Start" in text


def test_no_such_space(tmp_path: Path) -> None:
    write(tmp_path, EXAMPLE)
    assert message(tmp_path, ("svd",)) == ("the release has no space 'svd': use tt-svd or ut-als")


@pytest.mark.parametrize("name", EXAMPLE)
def test_missing_file(tmp_path: Path, name: str) -> None:
    write(tmp_path, {key: table for key, table in EXAMPLE.items() if key != name})
    text = message(tmp_path)
    assert text.startswith(f"{tmp_path / name}.parquet does not exist: download the data set '")
    assert "https://zenodo.org/record/5121674" in text


COLUMNS = [
    ("song_embeddings", "song_index"),
    ("song_embeddings", "features_svd"),
    ("song_embeddings", "features_mf"),
    ("user_embeddings", "user_index"),
    ("user_embeddings", "svd_embeddings"),
    ("user_embeddings", "mf_embeddings"),
    ("user_features_train_svd", "user_index"),
    ("user_features_validation_svd", "d1d30_songs"),
    ("user_features_test_svd", "age_embedding0"),
    ("user_features_train_mf", "search_playlists_embedding4"),
    ("user_features_validation_mf", "age_value"),
    ("user_features_test_mf", "nb_onboarding_like_artists"),
]


@pytest.mark.parametrize(("name", "column"), COLUMNS)
def test_missing_column(tmp_path: Path, name: str, column: str) -> None:
    write(tmp_path, dict(EXAMPLE, **{name: EXAMPLE[name].drop_columns(column)}))
    text = message(tmp_path)
    assert text.startswith(f"{tmp_path / name}.parquet has no column '{column}'")
    assert "data set 'A Semi-Personalized System for User Cold Start" in text
    assert "https://zenodo.org/record/5121674" in text
    if "_embedding" in column and "features" in name:
        where = f"features_{name.rsplit('_', 1)[1]} of song_embeddings.parquet"
        assert f"numbers in {where})" in text


@pytest.mark.parametrize(("name", "column"), COLUMNS)
@pytest.mark.parametrize("dtype", ["bool", "timestamp", "lists of text", "struct"])
def test_column_of_another_type(tmp_path: Path, name: str, column: str, dtype: str) -> None:
    cells = {
        "bool": pa.array([True] * 8),
        "timestamp": pa.array([0] * 8, pa.timestamp("us")),
        "lists of text": pa.array([["1"]] * 8),
        "struct": pa.array([{"a": 1}] * 8),
    }[dtype]
    table = EXAMPLE[name]
    bad = changed(table, column, lambda values: cells[: len(values)])
    write(tmp_path, dict(EXAMPLE, **{name: bad}))
    text = message(tmp_path)
    assert text.startswith(f"{tmp_path / name}.parquet, column '{column}': found the type ")
    assert text.endswith("download the file again from https://zenodo.org/record/5121674")


@pytest.mark.parametrize("column", ["song_index", "features_svd"])
def test_column_twice(tmp_path: Path, column: str) -> None:
    table = EXAMPLE["song_embeddings"]
    twice = table.append_column(column, table.column(column))
    write(tmp_path, dict(EXAMPLE, song_embeddings=twice))
    assert f"song_embeddings.parquet has 2 columns named '{column}'" in message(tmp_path)


NAN, INF = float("nan"), float("inf")
SONG, USER, TEST = "song_embeddings", "user_embeddings", "user_features_test_mf"
CELLS: list[tuple[str, str, int, Any, Any, str]] = [
    (SONG, "song_index", 1, None, pa.int64(), "the cell is null"),
    (SONG, "song_index", 2, 2, None, "the id 2 already stands in row 0"),
    (SONG, "song_index", 1, 4.5, pa.float64(), "4.5 is not a whole number of 64 bits"),
    (SONG, "song_index", 1, NAN, pa.float64(), "nan is not a whole number of 64 bits"),
    (SONG, "song_index", 1, 1e300, pa.float64(), "1e+300 is not a whole number of 64 bits"),
    (SONG, "song_index", 1, 2**63, pa.uint64(), f"{2**63} is not a whole number of 64 bits"),
    (SONG, "features_svd", 1, None, None, "the cell is null"),
    (SONG, "features_svd", 1, [1.0, 2.0], None, "the list has 2 numbers, but songs have 3 num"),
    (SONG, "features_svd", 0, [], None, "the list has 0 numbers, but songs have 3 numbers in "),
    (SONG, "features_svd", 7, [1.0, None, 2.0], None, "the list holds a null"),
    (SONG, "features_svd", 7, [1.0, NAN, 2.0], None, "the list holds nan, which float32 cannot"),
    (SONG, "features_svd", 7, [1, 2, 1e39], None, "the list holds 1e+39, which float32 cannot"),
    (USER, "user_index", 3, 3, None, "the id 3 already stands in row 0"),
    (USER, "mf_embeddings", 2, [1.0] * 6, None, "the list has 6 numbers, but songs have 5 numb"),
    (USER, "mf_embeddings", 2, [INF] * 5, None, "the list holds inf, which float32 cannot"),
    (TEST, "user_index", 1, 12, None, "the id 12 already stands in row 0"),
    (TEST, "d1d30_songs", 1, None, None, "the cell is null"),
    (TEST, "d1d30_songs", 1, [2, None], None, "the list holds a null"),
    (TEST, "d1d30_songs", 1, [2, 4.5], None, "the list holds 4.5, which is not a whole number"),
    (TEST, "d1d30_songs", 1, [2.0, NAN], None, "the list holds nan, which is not a whole numbe"),
    (TEST, "skipped_albums_embedding3", 1, None, None, "the cell is null"),
    (TEST, "skipped_albums_embedding3", 1, NAN, None, "the cell is nan, no number of float32"),
    (TEST, "skipped_albums_embedding3", 1, -INF, None, "the cell is -inf, no number of float32"),
    (TEST, "age_embedding0", 0, 1e39, pa.float64(), "the cell is 1e+39, no number of float32"),
    (TEST, "age_value", 1, NAN, None, "the cell is nan, no number of float32"),
    (TEST, "age_value", 1, None, None, "the cell is null"),
    (TEST, "nb_banned_songs", 1, INF, None, "the cell is inf, no number of float32"),
]


@pytest.mark.parametrize(("name", "column", "row", "value", "dtype", "says"), CELLS)
def test_wrong_cell(
    tmp_path: Path, name: str, column: str, row: int, value: Any, dtype: Any, says: str
) -> None:
    kind = dtype
    if isinstance(value, list):
        kind = pa.list_(pa.float64())
    elif kind is None:
        kind = EXAMPLE[name].schema.field(column).type
    tables = cell(name, column, row, value, kind)
    for groups in (1, 100):
        directory = write(tmp_path / str(groups), tables, row_group_size=groups)
        text = message(directory)
        path = directory / f"{name}.parquet"
        assert text.startswith(f"{path}, column '{column}', row {row}, counting from 0: {says}")
        assert text.endswith("download the file again from https://zenodo.org/record/5121674")


NO_LISTS = [
    *(
        "",
        "[",
        "]",
        "[]",
        "[1,2,3",
        "1,2,3]",
        "1,2,3",
        "{1, 2, 3}",
        "(1, 2, 3)",
        "array([1, 2, 3])",
    ),
    *("[1,,2]", "[1, 2, 3,]", "[,1, 2, 3]", "[1 2, 3]", "[1, 2 3]", "[1 , 2, 3]", "[1, 2 3, ]"),
    *("[[1, 2, 3]]", "[1, 2, 3][]", "[1, nan, 3]", "[1, None, 3]", "[1, NaN, 3]", "[1, inf, 3]"),
    *("[1 2 ... 3]", "[1, 0x10, 3]", "[1, 1_0, 3]", "[1, 1e, 3]", "[1, --1, 3]", "[1, 1-1, 3]"),
    *(
        "[1;2;3]",
        "[1, '2', 3]",
        " [1, 2, 3]",
        "[1, 2, 3] ",
        "[1, ., 3]",
        "[1, \u0663, 3]",
        "[1, 2]",
    ),
    *("array([1, 2, 3])", "[1, 2]", "[1, 2, 3, 4]", "[1, 1e400, 3]", "nan", "null"),
]


@pytest.mark.parametrize("text", NO_LISTS)
def test_text_that_is_no_list(tmp_path: Path, text: str) -> None:
    as_text = FORMS["text as pandas prints it"]
    tables = {name: as_text(table) for name, table in EXAMPLE.items()}
    tables[SONG] = changed(tables[SONG], "features_svd", put(5, text))
    told = message(write(tmp_path, tables))
    where = f"{tmp_path / SONG}.parquet, column 'features_svd', row 5, counting from 0: "
    assert told.startswith(where)
    if text in {"[]", "[1, 2]", "[1, 2, 3, 4]"}:
        assert f"the list has {len(text) // 3} numbers, but songs have 3 numbers" in told
    elif text == "[1, 1e400, 3]":
        assert "the list holds inf, which float32 cannot" in told
    else:
        assert f"{text!r} is not a list of numbers" in told


@pytest.mark.parametrize("text", ["[2, 4.5]", "[2, 1e400]", "[2 3.]", "[2, 99999999999999999999]"])
def test_text_of_songs(tmp_path: Path, text: str) -> None:
    """Whole numbers may be printed as floats."""
    as_text = FORMS["text as NumPy prints it"]
    tables = {name: as_text(table) for name, table in EXAMPLE.items()}
    tables[TEST] = changed(tables[TEST], "d1d30_songs", put(1, text))
    write(tmp_path, tables)
    if text == "[2 3.]":
        release = open_release(tmp_path, SPACES)
        assert release.features("ut-als", "test").songs.tolist()[-1] == 2
        return
    assert "row 1, counting from 0: the list holds " in message(tmp_path)


def test_more_than_half_of_the_songs_unknown(tmp_path: Path) -> None:
    write(tmp_path, heard("test", [[2, 4, 31], [7, 8, 9, 10]]))
    assert message(tmp_path).startswith(
        f"{tmp_path}/user_features_test_svd.parquet, column 'd1d30_songs', row 1, counting from 0: "
        "song 7, like 4 of 7 in the column, is not in song_embeddings.parquet: take both files "
    )


def test_nobody_with_a_song(tmp_path: Path) -> None:
    write(tmp_path, heard("test", [[], []]))
    text = message(tmp_path)
    assert text.startswith(
        f"{tmp_path}/user_features_test_svd.parquet, column 'd1d30_songs': no us"
    )


def test_embeddings_of_another_dimension(tmp_path: Path) -> None:
    wide = changed(EXAMPLE[SONG], "features_svd", lambda rows: [[*row, 1.0] for row in rows])
    text = message(write(tmp_path, dict(EXAMPLE, song_embeddings=wide)))
    assert text.startswith(
        f"{tmp_path}/user_features_train_svd.parquet has no column 'age_embedding3' (songs have 4 "
        "numbers in features_svd of song_embeddings.parquet): download"
    )
    narrow = changed(EXAMPLE[SONG], "features_svd", lambda rows: [row[1:] for row in rows])
    text = message(write(tmp_path, dict(EXAMPLE, song_embeddings=narrow)))
    assert text.startswith(
        f"{tmp_path}/user_features_train_svd.parquet, column 'age_embedding2': there is one too "
        "many, as songs have 2 numbers in features_svd of song_embeddings.parquet: take both"
    )


def test_embeddings_of_no_dimension(tmp_path: Path) -> None:
    empty = changed(
        EXAMPLE[SONG], "features_svd", lambda rows: [[] for _ in rows], pa.list_(pa.float32())
    )
    assert "'features_svd', row 0, counting from 0: the list is empty" in message(
        write(tmp_path, dict(EXAMPLE, song_embeddings=empty))
    )


def test_features_of_other_warm_users(tmp_path: Path) -> None:
    name = "user_features_train_svd"
    tables = cell(name, "user_index", 4, 42)
    assert message(write(tmp_path, tables)).startswith(
        f"{tmp_path / name}.parquet, column 'user_index': 2 users, such as 41, are only there or "
        "only in user_embeddings.parquet: take both files from one copy of the data set"
    )
    fewer = dict(EXAMPLE, **{name: EXAMPLE[name].slice(1)})
    assert "'user_index': 1 users, such as 3, are only" in message(write(tmp_path, fewer))


def test_spaces_of_other_cold_users(tmp_path: Path) -> None:
    text = message(write(tmp_path, cell(TEST, "user_index", 0, 13)))
    assert (
        "'user_index': 2 users, such as 12, are only there or only in user_features_test_svd"
        in text
    )


@pytest.mark.parametrize(
    ("part", "user", "other"), [("validation", 40, "train"), ("test", 900, "validation")]
)
def test_a_user_of_two_parts(tmp_path: Path, part: str, user: int, other: str) -> None:
    tables = dict(EXAMPLE)
    for short in SHORT.values():
        name = f"user_features_{part}_{short}"
        tables[name] = changed(EXAMPLE[name], "user_index", put(1, user))
    assert message(write(tmp_path, tables)).startswith(
        f"{tmp_path}/user_features_{part}_svd.parquet, column 'user_index', row 1, counting from "
        f"0: user {user} is also in user_features_{other}_svd.parquet: download the file again"
    )


@pytest.mark.parametrize("name", EXAMPLE)
def test_no_rows(tmp_path: Path, name: str) -> None:
    text = message(write(tmp_path, dict(EXAMPLE, **{name: EXAMPLE[name].slice(0, 0)})))
    assert text.startswith(f"{tmp_path / name}.parquet has no rows: download the file again")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"user_index,1\n" * 99, b"PAR1" + bytes(99) + b"PAR1"]
)
def test_not_parquet(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, EXAMPLE)
    (tmp_path / f"{TEST}.parquet").write_bytes(content)
    assert message(tmp_path).startswith(
        f"{tmp_path / TEST}.parquet cannot be read as a Parquet file ("
    )


def test_a_directory_for_a_file(tmp_path: Path) -> None:
    write(tmp_path, {name: table for name, table in EXAMPLE.items() if name != TEST})
    (tmp_path / f"{TEST}.parquet").mkdir()
    assert f"{TEST}.parquet does not exist" in message(tmp_path)


def test_damage_within_a_page_is_noticed(tmp_path: Path) -> None:
    """Where the file has checksums; nothing else could tell one number from another."""
    write(tmp_path, EXAMPLE, write_page_checksum=True, use_dictionary=False, compression="none")
    path = tmp_path / f"{TEST}.parquet"
    column = EXAMPLE[TEST].column("banned_songs_embedding2").to_numpy()
    whole = path.read_bytes()
    assert whole.count(column.tobytes()) == 1
    path.write_bytes(whole.replace(column.tobytes(), (column + 1).tobytes()))
    assert "CRC" in message(tmp_path)
