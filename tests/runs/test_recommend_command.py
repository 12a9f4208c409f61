"""``gpu-coldstart recommend``: a bundle and files of users to a file of lists."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.cli.main import main
from tests.runs.helpers import Result, Tables, refused, with_column
from tests.runs.served import SPACE, first_day, sections


def recommending(*arguments: object) -> Result:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["recommend", *map(str, arguments)])
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def bundle(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    model = ColdStart(space=SPACE, engine="cpu", **sections()).fit(Dataset.from_frames(**tables))
    model.save(place)
    return place


@pytest.fixture(scope="module")
def string_bundle(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but the ids of tracks are strings of digits."""
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    tracks = {"tracks": "track_id", "interactions": "entity_id", "playlists": "track_id"}
    changed = {
        name: with_column(table, tracks[name], table[tracks[name]].cast("string"))
        if name in tracks
        else table
        for name, table in tables.items()
    }
    model = ColdStart(space=SPACE, engine="cpu", **sections()).fit(Dataset.from_frames(**changed))
    model.save(place)
    return place


@pytest.fixture(scope="module")
def people(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of the test users and of their events of the first day."""
    place = tmp_path_factory.mktemp("people")
    users, events = first_day(tables, "test")
    pq.write_table(users, place / "users.parquet")
    pq.write_table(events, place / "interactions.parquet")
    return place / "users.parquet", place / "interactions.parquet"


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("strategy", ["soft", "best"])
def test_it_writes_what_the_model_recommends(
    bundle: Path, people: tuple[Path, Path], tmp_path: Path, strategy: str, *, explain: bool
) -> None:
    users, events = people
    out = tmp_path / "lists.parquet"
    result = recommending(
        *(bundle, "--users", users, "--interactions", events, "--out", out),
        *("--k", 7, "--engine", "cpu", "--strategy", strategy, "--exclude-seen"),
        *(["--explain"] if explain else []),
    )
    assert (result.status, result.err) == (0, "")
    n = pq.read_metadata(users).num_rows
    assert result.out.splitlines()[-1] == f"{n} users, 7 tracks each: written to {out}"
    wanted = ColdStart.load(bundle, engine="cpu").recommend(
        pq.read_table(users), pq.read_table(events), k=7, strategy=strategy, explain=explain,
        exclude_seen=True,
    )  # fmt: skip
    assert pq.read_table(out).equals(wanted)


def test_csv_in_and_out_and_no_event(bundle: Path, tmp_path: Path) -> None:
    users, out = tmp_path / "users.csv", tmp_path / "lists.csv"
    users.write_text("user_id,country,age\n900001,FR,31\n900002,XX,\n")
    result = recommending(bundle, "--users", users, "--out", out, "--k", 3, "--engine", "cpu")
    assert (result.status, result.err) == (0, "")
    lists = pyarrow.csv.read_csv(out)
    assert lists["user_id"].to_pylist() == [900001] * 3 + [900002] * 3
    assert lists["rank"].to_pylist() == [1, 2, 3] * 2


@pytest.mark.parametrize(
    ("ids", "columns"),
    [
        (["007", "7"], "user_id,country,age\n007,NA,31\n7,NA,\n"),
        (["5", "x"], "user_id,country,age,ignored\n5,NA,31,é\nx,NA,,\n"),
    ],
)
@pytest.mark.parametrize("strings", [False, True])
def test_csv_is_read_as_a_data_set_of_csv_is(
    bundle: Path,
    string_bundle: Path,
    tables: Tables,
    tmp_path: Path,
    ids: list[str],
    columns: str,
    *,
    strings: bool,
) -> None:
    """Ids as they are written, NA a country, and tracks whose ids are strings of digits."""
    users, events, out = (tmp_path / name for name in ("users.csv", "events.csv", "lists.parquet"))
    users.write_text(columns)
    track = tables["tracks"]["track_id"][3].as_py()
    events.write_text("user_id,action,entity,entity_id\n" + f"{ids[0]},stream,track,{track}\n" * 2)
    model = string_bundle if strings else bundle
    options = ("--out", out, "--k", 3, "--engine", "cpu")
    result = recommending(model, "--users", users, "--interactions", events, *options)
    assert (result.status, result.err) == (0, "")
    assert "unknown" not in result.out
    assert "2 users are from countries" in result.out
    lists = pq.read_table(out)
    assert lists["user_id"].to_pylist() == [ids[0]] * 3 + [ids[1]] * 3
    wanted = ColdStart.load(model, engine="cpu").recommend(
        {"user_id": ids, "country": ["NA", "NA"], "age": [31, None]},
        {
            "user_id": ids[:1] * 2,
            "action": ["stream"] * 2,
            "entity": ["track"] * 2,
            "entity_id": [str(track) if strings else track] * 2,
        },
        k=3,
    )
    assert lists.equals(wanted)


def test_a_wrong_cell_of_a_csv_file_is_named(bundle: Path, tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user_id,age\n1,31\n2,old\n")
    result = recommending(bundle, "--users", users, "--out", tmp_path / "lists.csv")
    refused(result, f"{users}, column 'age', row 1", "'old' is not a whole number")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--users": "none.parquet"}, ["none.parquet does not exist"]),
        ({"--users": "users.xlsx"}, ["users.xlsx does not exist", "Parquet"]),
        ({"--users": "text.parquet"}, ["text.parquet is not a Parquet file"]),
        ({"--users": "x" * 400}, ["x" * 400]),
        ({"--out": "lists.txt"}, ["lists.txt", ".parquet or .csv"]),
        ({"--out": "none/lists.csv", "--explain": None}, ["--explain", ".csv"]),
        ({"--k": "1000000"}, ["k is 1000000", "tracks"]),
        ({"--k": "0"}, ["k is 0"]),
        ({"--k": "9" * 5000}, ["'--k'", "not a whole number"]),
        ({"--strategy": "magic"}, ["'magic'", "semi"]),
        ({"--engine": "cpuu"}, ["'--engine'", "did you mean cpu?"]),
    ],
)
def test_a_mistake_is_one_line(
    bundle: Path,
    people: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str | None],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.parquet").write_text("not Parquet")
    options = {"--users": str(people[0]), "--out": "lists.csv", "--engine": "cpu"} | changes
    parts = [part for pair in options.items() for part in pair if part is not None]
    refused(recommending(bundle, *parts), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["text.parquet"]


def test_no_cell_of_csv_is_a_formula(
    string_bundle: Path, people: tuple[Path, Path], tmp_path: Path
) -> None:
    names = ["=1+1", "-2", "+3", "@x", "\tt", "\rc", "plain", "e\x1b[31m"]
    pq.write_table(pa.table({"user_id": names}), tmp_path / "users.parquet")
    for out in ("lists.csv", "lists.parquet"):
        arguments = ("--users", tmp_path / "users.parquet", "--k", "1", "--out", tmp_path / out)
        assert recommending(string_bundle, *arguments, "--engine", "cpu").status == 0
    cells = ["'=1+1", "'-2", "'+3", "'@x", "'\tt", "␍c", "plain", "e␛[31m"]
    with (tmp_path / "lists.csv").open(newline="", encoding="utf-8") as file:
        assert [row["user_id"] for row in csv.DictReader(file)] == cells
    assert pq.read_table(tmp_path / "lists.parquet")["user_id"].to_pylist() == names


def test_no_bundle(people: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "lists.csv"
    refused(recommending(tmp_path / "none", "--users", people[0], "--out", out), "none")
    assert not out.exists()
