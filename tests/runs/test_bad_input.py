"""Bad tables are refused in one sentence and leave nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.cli.main import main as whole_command
from tests.runs.helpers import (
    WORLD,
    Tables,
    column,
    command,
    events,
    members,
    refused,
    registration_days,
    rows_of,
    table_of,
    with_column,
    write,
)
from tests.runs.on_tables import CHEAP, kept, noted, refused_on, table_on

# -- files -------------------------------------------------------------------------------------


def without_directory(tables: Tables, data: Path) -> None:
    """Writes nothing."""


def without_table(tables: Tables, data: Path) -> None:
    write(tables, data)
    (data / "tracks.parquet").unlink()


def cut_short(tables: Tables, data: Path) -> None:
    path = write(tables, data) / "tracks.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def directory_for_a_file(tables: Tables, data: Path) -> None:
    without_table(tables, data)
    (data / "tracks.parquet").mkdir()


def without_column(tables: Tables, data: Path) -> None:
    write(tables | {"tracks": tables["tracks"].drop_columns(["track_id"])}, data)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_directory, "data does not exist"),
        (without_table, "tracks.parquet does not exist"),
        (cut_short, "tracks.parquet is cut short"),
        (directory_for_a_file, "tracks.parquet is a directory"),
        (without_column, "tracks.parquet has no column 'track_id'"),
    ],
)
def test_files_that_will_not_do(
    tables: Tables, tmp_path: Path, spoil: Callable[[Tables, Path], None], words: str
) -> None:
    spoil(tables, tmp_path / "data")
    refused(command(*events(tmp_path / "data"), "--out", tmp_path / "run"), words)
    assert not (tmp_path / "run").exists()


def test_a_file_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "logs.csv").write_text("a,b")
    result = command(*events(tmp_path / "logs.csv"), "--out", tmp_path / "run")
    refused(result, "logs.csv is a file, not a directory")


# -- columns -----------------------------------------------------------------------------------

WRONG: list[tuple[str, str, Any]] = [
    ("users", "user_id", pa.float64()),
    ("users", "registered_at", pa.int64()),
    ("users", "country", pa.int32()),
    ("users", "age", pa.string()),
    ("users", "split", pa.bool_()),
    ("tracks", "track_id", pa.float64()),
    ("tracks", "artist_id", pa.bool_()),
    ("tracks", "genre", pa.int8()),
    ("interactions", "user_id", pa.float32()),
    ("interactions", "timestamp", pa.string()),
    ("interactions", "action", pa.int8()),
    ("interactions", "entity_id", pa.float64()),
    ("interactions", "count", pa.float64()),
    ("playlists", "track_id", pa.bool_()),
    ("playlists", "position", pa.string()),
]


@pytest.mark.parametrize(("name", "wrong", "kind"), WRONG)
def test_a_wrong_type(tables: Tables, tmp_path: Path, name: str, wrong: str, kind: Any) -> None:
    table = tables[name]
    values = pa.nulls(table.num_rows, kind).fill_null(pa.scalar(1).cast(kind))
    changed = tables | {name: with_column(table, wrong, values)}
    refused_on(changed, tmp_path, f"{name}.parquet", f"column '{wrong}'", "the type is")


# -- values ------------------------------------------------------------------------------------


def placed(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    """The table with one cell changed."""
    dictionary = pa.types.is_dictionary(table.schema.field(name).type)
    kind = pa.string() if dictionary else table.schema.field(name).type
    values = column(table, name)
    values[row] = value
    return with_column(table, name, pa.array(values, kind))


@pytest.mark.parametrize(("name", "key"), [("users", "user_id"), ("tracks", "track_id")])
def test_an_id_twice(tables: Tables, tmp_path: Path, name: str, key: str) -> None:
    again = column(tables[name], key)[2]
    changed = tables | {name: placed(tables[name], key, 9, again)}
    refused_on(changed, tmp_path, f"{name}.parquet", f"column '{key}', row 9", str(again), "row 2")


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("users", "age", -1, "-1 is outside 0 to 130"),
        ("users", "age", 131, "131 is outside 0 to 130"),
        ("users", "registered_at", datetime(1901, 1, 1, tzinfo=UTC), "the year 1901"),
        ("users", "registered_at", None, "is null"),
        ("users", "split", "train", "'train' is none of warm, validation, test"),
        ("interactions", "timestamp", datetime(2999, 1, 1, tzinfo=UTC), "the year 2999"),
        ("interactions", "timestamp", datetime(1970, 1, 1, tzinfo=UTC), "the year 1970"),
        ("interactions", "action", "listen", "'listen' is none of stream"),
        ("interactions", "entity", "song", "'song' is none of track"),
        ("interactions", "count", 0, "0 is below 1"),
        ("interactions", "user_id", None, "is null"),
    ],
)
def test_an_impossible_value(
    tables: Tables, tmp_path: Path, name: str, key: str, value: Any, words: str
) -> None:
    changed = tables | {name: placed(tables[name], key, 5, value)}
    refused_on(changed, tmp_path, f"{name}.parquet", f"column '{key}', row 5", words)


@pytest.mark.parametrize("name", ["users", "tracks", "interactions"])
def test_an_empty_table(tables: Tables, tmp_path: Path, name: str) -> None:
    changed = tables | {name: tables[name].slice(0, 0)}
    refused_on(changed, tmp_path, f"{name}.parquet has no rows")


# -- ids that nobody knows ---------------------------------------------------------------------


def strangers(table: pa.Table, name: str, share: float) -> pa.Table:
    """The table with the first rows' ids unknown."""
    ids = column(table, name)
    n = int(share * len(ids))
    return with_column(table, name, [-7 - row for row in range(n)] + ids[n:])


@pytest.mark.parametrize(
    ("name", "key"),
    [("interactions", "user_id"), ("interactions", "entity_id"), ("playlists", "track_id")],
)
def test_mostly_unknown_ids(tables: Tables, tmp_path: Path, name: str, key: str) -> None:
    changed = tables | {name: strangers(tables[name], key, 0.6)}
    refused_on(changed, tmp_path, f"{name}.parquet", f"'{key}'" if name == "playlists" else key)


@pytest.mark.parametrize("key", ["user_id", "entity_id"])
def test_few_unknown_ids_are_left_out_and_counted(tables: Tables, tmp_path: Path, key: str) -> None:
    table = tables["interactions"]
    n, many = table.num_rows, table.num_rows // 10
    extra = with_column(table.slice(0, many), key, [-7] * many)
    changed = tables | {"interactions": pa.concat_tables([table, extra.cast(table.schema)])}
    content = table_on(changed, tmp_path / "more", *CHEAP)
    note = noted(content, "unknown users or entities")
    assert note.startswith(f"{many} of {n + many} interactions")
    plain = table_on(tables, tmp_path / "plain", *CHEAP)
    assert content["rows"] == plain["rows"]


def test_few_unknown_tracks_in_playlists_are_left_out_and_counted(
    tables: Tables, tmp_path: Path
) -> None:
    table = tables["playlists"]
    extra = with_column(table.slice(0, 7), "track_id", [-7] * 7)
    changed = tables | {"playlists": pa.concat_tables([table, extra.cast(table.schema)])}
    content = table_on(changed, tmp_path / "more", *CHEAP)
    note = noted(content, "playlist rows name unknown tracks")
    assert note.startswith(f"7 of {table.num_rows + 7} ")
    assert content["rows"] == table_on(tables, tmp_path / "plain", *CHEAP)["rows"]


def test_interactions_before_registration_are_left_out_and_counted(
    tables: Tables, tmp_path: Path
) -> None:
    table = tables["interactions"]
    rows = [{**row, "timestamp": datetime(1999, 1, 1, tzinfo=UTC)} for row in rows_of(table)[:5]]
    changed = tables | {
        "interactions": pa.concat_tables([table_of(rows_of(table), table), table_of(rows, table)])
    }
    content = table_on(changed, tmp_path / "more", *CHEAP)
    assert noted(content, "before their user's registration day").startswith("5 ")
    assert content["rows"] == table_on(tables, tmp_path / "plain", *CHEAP)["rows"]


# -- who there is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (("warm",), "validation"),
        (("warm", "validation"), "test"),
        (("warm", "test"), "validation"),
        (("validation", "test"), "warm"),
    ],
)
def test_a_cohort_without_users(
    tables: Tables, tmp_path: Path, present: tuple[str, ...], missing: str
) -> None:
    users = kept(tables["users"], lambda row: row["split"] in present)
    ids = set(column(users, "user_id"))
    events_ = kept(tables["interactions"], lambda row: row["user_id"] in ids)
    changed = tables | {"users": users, "interactions": events_}
    refused_on(changed, tmp_path, f"the table of users leaves no {missing} users")


def test_a_split_of_one_word_only(tables: Tables, tmp_path: Path) -> None:
    users = tables["users"]
    changed = tables | {"users": with_column(users, "split", ["warm"] * users.num_rows)}
    refused_on(changed, tmp_path, "leaves no validation users")


def test_logs_that_end_too_early_for_a_split(tables: Tables, tmp_path: Path) -> None:
    users = tables["users"].drop_columns(["split"])
    end = datetime(2020, 11, 20, tzinfo=UTC)
    users = with_column(users, "registered_at", [end - timedelta(days=3)] * users.num_rows)
    events_ = with_column(
        tables["interactions"], "timestamp", [end] * tables["interactions"].num_rows
    )
    changed = tables | {"users": users, "interactions": events_}
    refused_on(changed, tmp_path, "the interactions end on 2020-11-20", "split.truth_days")


def later_streams(tables: Tables, user: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a row is not a stream of the user after registration day."""
    end = registration_days(tables["users"])[user]
    return lambda row: row["user_id"] != user or row["timestamp"] < end


def test_users_without_truth_are_recommended_to_but_not_measured(
    tables: Tables, tmp_path: Path
) -> None:
    test, validation = (sorted(members(tables["users"], name)) for name in ("test", "validation"))
    events_ = tables["interactions"]
    for user in (*test[:3], *validation[:2]):
        events_ = kept(events_, later_streams(tables, user))
    content = table_on(tables | {"interactions": events_}, tmp_path, *CHEAP)
    assert noted(content, "cold users streamed no track").startswith("5 ")
    assert content["rows"][0]["users"] == WORLD["n_test"] - 3
    table = pq.read_table(tmp_path / "run/recommendations/tt-svd/semi.parquet")
    cohorts = dict(zip(column(table, "user_id"), column(table, "cohort"), strict=True))
    targets = [*test[:3], *validation[:2]]
    assert cohorts == dict.fromkeys(test[3:], "test") | dict.fromkeys(targets, "target")


def test_no_truth_at_all(tables: Tables, tmp_path: Path) -> None:
    ends = registration_days(tables["users"])
    warm = members(tables["users"], "warm")
    events_ = kept(
        tables["interactions"],
        lambda row: row["user_id"] in warm or row["timestamp"] < ends[row["user_id"]],
    )
    refused_on(tables | {"interactions": events_}, tmp_path, "no validation users", "min_truth")


def test_warm_users_who_never_streamed_are_left_out_and_counted(
    tables: Tables, tmp_path: Path
) -> None:
    idle = set(sorted(members(tables["users"], "warm"))[:4])
    events_ = kept(
        tables["interactions"],
        lambda row: row["user_id"] not in idle or row["action"] != "stream",
    )
    content = table_on(tables | {"interactions": events_}, tmp_path, *CHEAP)
    assert noted(content, "warm users never streamed").startswith("4 ")


# -- settings that the data cannot serve -------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"segments__k": 100_000}, "'segments.k' is 100000, more than the 120 warm users"),
        ({"tt_svd__dimension": 201}, "'tt_svd.dimension' is 201, more than the 200 tracks"),
        ({"tt_svd__min_count": 5000}, "no two tracks co-occur"),
        ({"tt_svd__shift": 100_000}, "no two tracks co-occur"),
        ({"mlp__drop_last": "true", "mlp__batch_size": 121}, "'mlp.drop_last' leaves nobody"),
        ({"evaluation__k": 201}, "'evaluation.k' asks for 201 tracks"),
        ({"evaluation__k": 200, "strategies__exclude_seen": "true"}, "on registration day, which"),
        ({"split__min_truth": 5000}, "streamed fewer than 5000 distinct tracks"),
    ],
)
@pytest.mark.parametrize("only_check", [False, True], ids=["run", "check"])
def test_settings_are_refused_before_anything_is_written(
    tables: Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    settings: dict[str, Any],
    words: str,
    only_check: bool,
) -> None:
    if not only_check:
        refused_on(tables, tmp_path, words, **settings)
        return
    data = write(tables, tmp_path / "data")
    options = [part for part in events(data, **settings) if "=" in part]
    assert whole_command(["check", str(data), *(f"--set={option}" for option in options)]) == 2
    said = capsys.readouterr().out
    assert said.startswith("1 problem\n"), said
    assert words in said
