"""Bad input is refused in one sentence and leaves nothing; odd input is not bad and runs."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runs.helpers import (
    WORLD,
    Result,
    Tables,
    column,
    command,
    differing,
    events,
    finished,
    fresh_process,
    lasting,
    learned,
    members,
    refused,
    registration_days,
    results,
    rows_of,
    snapshot,
    synthetic,
    table_of,
    with_column,
    write,
)

Spoil = Callable[[Tables], None]
CHEAP = ("--space", "tt-svd", "--strategies", "semi")


def run_on(tables: Tables, place: Path, *options: str, **changes: Any) -> Result:
    """Run on tables, from ``place/data`` into ``place/run``."""
    data = write(tables, place / "data")
    return command(*events(data, **changes), *options, "--out", place / "run")


def refused_on(tables: Tables, place: Path, *words: str, **changes: Any) -> str:
    """Check that tables are refused with the words and that nothing is left."""
    sentence = refused(run_on(tables, place, **changes), *words)
    assert not (place / "run").exists()
    return sentence


def table_on(tables: Tables, place: Path, *options: str, **changes: Any) -> dict[str, Any]:
    """Run on tables that will do; returns the results."""
    result = run_on(tables, place, *options, **changes)
    assert result.status == 0, result.err
    content = results(place / "run")
    assert content["rows"]
    for row in content["rows"]:
        assert all(0 <= row[measure] <= 1 for measure in ("precision", "recall", "ndcg"))
    return content


def noted(content: dict[str, Any], words: str) -> str:
    """The one warning that has the words."""
    found = [note for note in content["warnings"] if words in note]
    assert len(found) == 1, content["warnings"]
    return str(found[0])


def kept(table: pa.Table, keep: Callable[[dict[str, Any]], bool]) -> pa.Table:
    """The rows of a table that are wanted."""
    return table.filter(pa.array([keep(row) for row in rows_of(table)], pa.bool_()))


# -- files -------------------------------------------------------------------------------------


def test_a_missing_directory(tmp_path: Path) -> None:
    result = command(*events(tmp_path / "nowhere"), "--out", tmp_path / "run")
    refused(result, str(tmp_path / "nowhere"), "does not exist", "users.parquet")
    assert not list(tmp_path.iterdir())


def test_a_file_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "logs.csv").write_text("a,b")
    result = command(*events(tmp_path / "logs.csv"), "--out", tmp_path / "run")
    refused(result, "logs.csv is a file, not a directory")


@pytest.mark.parametrize("name", ["users", "tracks", "interactions"])
def test_a_missing_file(tables: Tables, tmp_path: Path, name: str) -> None:
    some = {other: table for other, table in tables.items() if other != name}
    refused_on(some, tmp_path, f"{name}.parquet does not exist", "the columns")


def footer(content: bytes) -> int:
    """Length of a Parquet file's footer."""
    return int.from_bytes(content[-8:-4], "little")


def blank(content: bytes, start: int, length: int) -> bytes:
    return content[:start] + bytes(length) + content[start + length :]


def spoiled(tables: Tables, place: Path, name: str, spoil: Callable[[bytes], bytes]) -> Result:
    """Run on files one of which is not what was written."""
    data = write(tables, place / "data")
    path = data / f"{name}.parquet"
    path.write_bytes(spoil(path.read_bytes()))
    return command(*events(data), "--out", place / "run")


@pytest.mark.parametrize("name", ["users", "tracks", "interactions", "playlists"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[:-200], "is cut short"),
        (lambda content: content[:4], "is"),
        (lambda content: b"user_id,track_id\n1,2\n", "is not a Parquet file"),
        (lambda content: blank(content, len(content) - 8 - footer(content), 40), "is damaged"),
        (lambda content: blank(content, 4, 400), "is damaged"),
    ],
    ids=["empty", "cut short", "four bytes", "csv", "footer", "pages"],
)
def test_a_file_that_is_not_whole(
    tables: Tables, tmp_path: Path, name: str, spoil: Callable[[bytes], bytes], words: str
) -> None:
    result = spoiled(tables, tmp_path, name, spoil)
    refused(result, f"{name}.parquet", words)
    assert not (tmp_path / "run").exists()


def test_a_directory_for_a_file(tables: Tables, tmp_path: Path) -> None:
    data = write(tables, tmp_path / "data")
    (data / "tracks.parquet").unlink()
    (data / "tracks.parquet").mkdir()
    result = command(*events(data), "--out", tmp_path / "run")
    refused(result, "tracks.parquet is a directory")


# -- columns -----------------------------------------------------------------------------------

REQUIRED = [
    *(("users", name) for name in ("user_id", "registered_at")),
    ("tracks", "track_id"),
    *(("interactions", name) for name in ("user_id", "timestamp", "action", "entity", "entity_id")),
    *(("playlists", name) for name in ("playlist_id", "track_id")),
]


@pytest.mark.parametrize(("name", "missing"), REQUIRED)
def test_a_missing_column(tables: Tables, tmp_path: Path, name: str, missing: str) -> None:
    changed = tables | {name: tables[name].drop_columns([missing])}
    refused_on(changed, tmp_path, f"{name}.parquet", f"no column '{missing}'")


WRONG: list[tuple[str, str, Any]] = [
    ("users", "user_id", pa.string()),
    ("users", "registered_at", pa.int64()),
    ("users", "country", pa.int32()),
    ("users", "age", pa.float64()),
    ("users", "split", pa.bool_()),
    ("tracks", "track_id", pa.float64()),
    ("tracks", "artist_id", pa.string()),
    ("tracks", "genre", pa.int8()),
    ("interactions", "user_id", pa.float32()),
    ("interactions", "timestamp", pa.string()),
    ("interactions", "action", pa.int8()),
    ("interactions", "entity_id", pa.uint64()),
    ("interactions", "count", pa.float64()),
    ("playlists", "track_id", pa.bool_()),
    ("playlists", "position", pa.string()),
]


@pytest.mark.parametrize(("name", "wrong", "kind"), WRONG)
def test_a_wrong_type(tables: Tables, tmp_path: Path, name: str, wrong: str, kind: Any) -> None:
    table = tables[name]
    values = pa.nulls(table.num_rows, kind).fill_null(pa.scalar(1).cast(kind))
    changed = tables | {name: with_column(table, wrong, values)}
    refused_on(changed, tmp_path, f"{name}.parquet", f"column '{wrong}'", "found the type")


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
    refused_on(changed, tmp_path, "users.parquet", f"no {missing} users")


def test_a_split_of_one_word_only(tables: Tables, tmp_path: Path) -> None:
    users = tables["users"]
    changed = tables | {"users": with_column(users, "split", ["warm"] * users.num_rows)}
    refused_on(changed, tmp_path, "users.parquet", "no validation users")


def test_logs_that_end_too_early_for_a_split(tables: Tables, tmp_path: Path) -> None:
    users = tables["users"].drop_columns(["split"])
    end = datetime(2020, 11, 20, tzinfo=UTC)
    users = with_column(users, "registered_at", [end - timedelta(days=3)] * users.num_rows)
    events_ = with_column(
        tables["interactions"], "timestamp", [end] * tables["interactions"].num_rows
    )
    changed = tables | {"users": users, "interactions": events_}
    refused_on(changed, tmp_path, "interactions.parquet ends on 2020-11-20", "split.truth_days")


def later_streams(tables: Tables, user: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a row is not a stream of the user after registration day."""
    end = registration_days(tables["users"])[user]
    return lambda row: row["user_id"] != user or row["timestamp"] < end


def test_users_without_truth_are_left_out_and_counted(tables: Tables, tmp_path: Path) -> None:
    test, validation = (sorted(members(tables["users"], name)) for name in ("test", "validation"))
    events_ = tables["interactions"]
    for user in (*test[:3], *validation[:2]):
        events_ = kept(events_, later_streams(tables, user))
    content = table_on(tables | {"interactions": events_}, tmp_path, *CHEAP)
    assert noted(content, "cold users streamed fewer than 1").startswith("5 ")
    assert content["rows"][0]["users"] == WORLD["n_test"] - 3
    table = pq.read_table(tmp_path / "run/recommendations/tt-svd/semi.parquet")
    assert sorted(set(column(table, "user_id"))) == test[3:]


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


# -- settings that do not fit ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("segments.k=121", "more than the 120 warm users"),
        ("evaluation.k=201", "more than the 200 there are"),
        ("evaluation.k=5,201", "more than the 200 there are"),
        ("tt_svd.dimension=201", "more than the 200 tracks"),
    ],
)
def test_a_setting_larger_than_the_data(tmp_path: Path, setting: str, words: str) -> None:
    result = command(*synthetic(), "--set", setting, "--out", tmp_path / "run")
    refused(result, f"'{setting.partition('=')[0]}'", words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "setting",
    ["segments.k=120", "evaluation.k=200", "tt_svd.dimension=200", "ut_als.factors=500"],
)
def test_a_setting_as_large_as_the_data_will_do(tmp_path: Path, setting: str) -> None:
    key, _, value = setting.partition("=")
    result = command(*synthetic(**{key.replace(".", "__"): value}), "--out", tmp_path / "run")
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    ("setting", "space"), [("ut_als.factors=999999999", "ut-als"), ("mlp.hidden=999999999", "both")]
)
def test_sizes_beyond_the_memory(tmp_path: Path, setting: str, space: str) -> None:
    arguments = ["--space", space, "--set", setting, "--out", tmp_path / "run"]
    refused(command(*synthetic(), *arguments), "memory")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("segments.k", "has no '='"),
        ("segments.kk=5", "'segments.kk' is not known"),
        ("k=5", "did you mean segments.k"),
        ("segments.k=five", "but a int"),
        ("segments.k=-1", "at least 0"),
        ("seed=99999999999999999999", "at most"),
        ("mlp.learning_rate=nan", "mlp.learning_rate"),
        ("mlp.learning_rate=inf", "mlp.learning_rate"),
        ("strategies.names=best", "use one of"),
        ("evaluation.k=10,x", "needs a list"),
        ("world.n_tracks=3", "world.n_tracks is 3"),
        ("world.cold_week=yesterday", "world.cold_week"),
    ],
)
def test_a_setting_that_is_none(tmp_path: Path, setting: str, words: str) -> None:
    result = command("--preset", "tiny", "--set", setting, "--out", tmp_path / "run")
    refused(result, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "x"], "'seed' is 'x'"),
        (["--seed", "-1"], "'seed' is -1"),
        (["--seed", "1.5"], "'seed' is 1.5"),
        (["--k", "x"], "'evaluation.k' needs a list of int"),
        (["--k", "0"], "'evaluation.k' is 0"),
        (["--k", ""], "'evaluation.k' needs a list"),
        (["--strategies", "magic"], "'strategies.names' is 'magic'"),
        (["--strategies", ""], "'strategies.names' needs a list"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--dataset", "events", "--data", ""], "--data"),
    ],
)
def test_an_option_that_cannot_be(tmp_path: Path, arguments: list[str], words: str) -> None:
    refused(command(*arguments, "--out", tmp_path / "run"), words)
    assert not list(tmp_path.iterdir())


# -- where to write ----------------------------------------------------------------------------


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    for out in ("file", "file/run", "file/a/b"):
        refused(command(*synthetic(), "--out", tmp_path / out), str(tmp_path / "file"), "--out")
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_name_too_long(tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / ("x" * 400) / "run"
    refused(command(*synthetic(), "--out", out, *options), "x" * 400)
    assert not list(tmp_path.iterdir())


def test_a_place_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        closed(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    refused(command(*synthetic(), "--out", tmp_path / "run"), "Permission denied", "--out")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """A disk that takes so many more files before it is full."""
    left: list[int | None] = [None]

    def fsync(handle: int) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)

    def allow(files: int | None) -> None:
        left[0] = None if files is None else 2 * files  # each is synced, and its directory

    return allow


def test_a_full_disk_at_the_start_leaves_nothing(
    tmp_path: Path, quota: Callable[[int | None], None]
) -> None:
    quota(0)
    refused(command(*synthetic(), "--out", tmp_path / "a/run"), "the disk is full", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("files", [1, 2, 4, 6, 9, 15, 25, 40, 50])
def test_a_full_disk_later_can_be_resumed(
    tmp_path: Path, done: tuple[Path, Result], quota: Callable[[int | None], None], files: int
) -> None:
    out = tmp_path / "run"
    quota(files)
    refused(command(*synthetic(), "--out", out), "the disk is full", "free some space")
    assert not list(out.rglob("*.part"))
    quota(None)
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0, result.err
    assert not differing(lasting(out), lasting(done[0]))


@pytest.mark.parametrize("name", ["run.log", "times.json"])
def test_a_full_disk_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opened = Path.open

    def open_(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == name and {*arguments, options.get("mode")} & {"a", "w"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_)
    refused(command(*synthetic(), "--out", tmp_path / "run"), "the disk is full", name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB, where this machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    arguments = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here ({error})")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_in_fact(small_disk: Path, done: tuple[Path, Result]) -> None:
    out = small_disk / "run"
    refused(command(*synthetic(), "--out", out), "the disk is full")
    assert not list(out.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert command(*synthetic(), "--out", out, "--resume").status == 0
    assert not differing(lasting(out), lasting(done[0]))


def test_a_process_refuses_in_one_line(tables: Tables, tmp_path: Path) -> None:
    """As the shell sees it."""
    changed = tables | {"users": tables["users"].drop_columns(["user_id"])}
    data = write(changed, tmp_path / "data")
    with finished(fresh_process(*events(data), "--out", tmp_path / "run")) as result:
        refused(result, "users.parquet has no column 'user_id'")
    assert not (tmp_path / "run").exists()


# -- odd, but not bad --------------------------------------------------------------------------


def no_playlist_has_rows(tables: Tables) -> None:
    tables["playlists"] = tables["playlists"].slice(0, 0)


def every_playlist_has_one_track(tables: Tables) -> None:
    table = tables["playlists"]
    tables["playlists"] = with_column(table, "playlist_id", list(range(table.num_rows)))


def nobody_streams_at_first(tables: Tables) -> None:
    """Not a stream on any registration day."""
    ends = registration_days(tables["users"])
    tables["interactions"] = kept(
        tables["interactions"],
        lambda row: row["action"] != "stream" or row["timestamp"] >= ends[row["user_id"]],
    )


def nobody_does_anything_at_first(tables: Tables) -> None:
    ends = registration_days(tables["users"])
    tables["interactions"] = kept(
        tables["interactions"], lambda row: row["timestamp"] >= ends[row["user_id"]]
    )


def streams_alone(tables: Tables) -> None:
    tables["interactions"] = kept(tables["interactions"], lambda row: row["action"] == "stream")


def no_skips(tables: Tables) -> None:
    tables["interactions"] = kept(tables["interactions"], lambda row: row["action"] != "skip")


def nothing_is_known_of_users(tables: Tables) -> None:
    users = tables["users"]
    blank = pa.nulls(users.num_rows)
    tables["users"] = with_column(with_column(users, "age", blank), "country", blank)


def nothing_is_known_of_tracks(tables: Tables) -> None:
    tracks = tables["tracks"]
    for name in ("artist_id", "album_id", "genre"):
        kind = tracks.schema.field(name).type
        kind = pa.string() if pa.types.is_dictionary(kind) else kind
        tracks = with_column(tracks, name, pa.nulls(tracks.num_rows, kind))
    tables["tracks"] = tracks


def everybody_is_of_one_country_and_age(tables: Tables) -> None:
    users = tables["users"]
    users = with_column(users, "age", [40] * users.num_rows)
    tables["users"] = with_column(users, "country", ["FR"] * users.num_rows)


def few(tables: Tables, split: str, n: int) -> None:
    ids = set(sorted(members(tables["users"], split))[n:])
    tables["users"] = kept(tables["users"], lambda row: row["user_id"] not in ids)
    tables["interactions"] = kept(tables["interactions"], lambda row: row["user_id"] not in ids)


def one_validation_user(tables: Tables) -> None:
    few(tables, "validation", 1)


def one_test_user(tables: Tables) -> None:
    few(tables, "test", 1)


def one_of_each(tables: Tables) -> None:
    few(tables, "validation", 1)
    few(tables, "test", 1)


def everybody_streams_the_same(tables: Tables) -> None:
    """One track for all, so that there are no tastes to tell apart."""
    table = tables["interactions"]
    track = column(tables["tracks"], "track_id")[0]
    rows = [
        {**row, "entity_id": track}
        if (row["action"], row["entity"]) == ("stream", "track")
        else row
        for row in rows_of(table)
    ]
    tables["interactions"] = table_of(rows, table)


def huge_counts(tables: Tables) -> None:
    table = tables["interactions"]
    tables["interactions"] = with_column(table, "count", [2**40] * table.num_rows)


ODD: list[Spoil] = [
    no_playlist_has_rows,
    nobody_streams_at_first,
    nobody_does_anything_at_first,
    streams_alone,
    no_skips,
    nothing_is_known_of_users,
    nothing_is_known_of_tracks,
    everybody_is_of_one_country_and_age,
    one_validation_user,
    one_test_user,
    one_of_each,
    everybody_streams_the_same,
    huge_counts,
]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_logs_run(tables: Tables, tmp_path: Path, make: Spoil) -> None:
    changed = dict(tables)
    make(changed)
    content = table_on(changed, tmp_path)
    assert len(content["rows"]) == 12
    known = set(column(tables["tracks"], "track_id"))
    for path in (tmp_path / "run").glob("recommendations/*/*.parquet"):
        table = pq.read_table(path)
        assert set(column(table, "track_id")) <= known
        assert np.isfinite(table.column("score").to_numpy()).all(), path
        lists = table.column("track_id").to_numpy().reshape(-1, 10)
        assert all(len(set(row)) == 10 for row in lists.tolist())


def test_playlists_of_one_track_each_are_refused_for_tt_svd_only(
    tables: Tables, tmp_path: Path
) -> None:
    changed = dict(tables)
    every_playlist_has_one_track(changed)
    refused(run_on(changed, tmp_path / "svd", "--space", "tt-svd"), "no two tracks co-occur")
    table_on(changed, tmp_path / "als", "--space", "ut-als")


def test_no_playlists_fall_back_on_histories_and_say_so(tables: Tables, tmp_path: Path) -> None:
    changed = {name: table for name, table in tables.items() if name != "playlists"}
    content = table_on(changed, tmp_path / "none", *CHEAP)
    noted(content, "no playlists: TT-SVD counts tracks that share a listening history")
    noted(content, "there is no playlists.parquet; left out")
    no_playlist_has_rows(changed | tables)
    empty = tables | {"playlists": tables["playlists"].slice(0, 0)}
    assert table_on(empty, tmp_path / "empty", *CHEAP)["rows"] == content["rows"]
    assert learned(tmp_path / "empty/run") == learned(tmp_path / "none/run")


def test_without_a_stream_on_the_first_day_the_chart_is_recommended(
    tables: Tables, tmp_path: Path
) -> None:
    changed = dict(tables)
    nobody_streams_at_first(changed)
    chosen = ["--space", "tt-svd", "--strategies", "popularity,registration-day"]
    rows = table_on(changed, tmp_path, *chosen)["rows"]
    assert {**rows[0], "strategy": ""} == {**rows[1], "strategy": ""}


@pytest.mark.parametrize("k", [1, 2])
def test_few_segments(tmp_path: Path, k: int) -> None:
    out = tmp_path / "run"
    result = command(*synthetic(segments__k=k, strategies__input_features_k=k), "--out", out)
    assert result.status == 0, result.err
    rows = {(row["space"], row["strategy"]): row["ndcg"] for row in results(out)["rows"]}
    if k == 1:  # everybody's favourites are the chart
        for strategy in ("semi", "soft", "input-features"):
            assert rows["tt-svd", strategy] == pytest.approx(rows["tt-svd", "popularity"])


def test_a_tiny_catalogue(tables: Tables, tmp_path: Path) -> None:
    """Half the tracks, and lists that leave out what was heard: hardly enough are left."""
    out = tmp_path / "run"
    sizes: dict[str, float] = {"world.n_tracks": 48, "world.n_genres": 2, "world.n_countries": 1}
    sizes |= {"world.local_scenes": 1, "world.cold_tracks_mean": 8, "world.warm_tracks_mean": 12}
    arguments = [part for key, value in sizes.items() for part in ("--set", f"{key}={value}")]
    arguments += ["--set", "strategies.exclude_seen=true", "--k", "10,25"]
    result = command(*synthetic(), *arguments, "--out", out)
    assert result.status == 0, result.err
    for path in out.glob("recommendations/*/*.parquet"):
        lists = pq.read_table(path).column("track_id").to_numpy().reshape(-1, 25)
        assert all(len(set(row)) == 25 for row in lists.tolist())


def test_lists_that_leave_out_too_much_are_refused_or_filled(tmp_path: Path) -> None:
    """As many tracks asked for as there are, less what each user has heard."""
    out = tmp_path / "run"
    arguments = ["--set", "strategies.exclude_seen=true", "--k", "200"]
    result = command(*synthetic(), *CHEAP, *arguments, "--out", out)
    if result.status == 2:
        refused(result)
    else:
        assert result.status == 0
        lists = pq.read_table(out / "recommendations/tt-svd/semi.parquet")
        assert lists.num_rows == 200 * WORLD["n_test"]
