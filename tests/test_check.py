"""A data set's problems all at once, and what a run would do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gpu_coldstart.cli.main import main
from tests.runs.helpers import SIZES, Tables, column, settings, with_column, write
from tests.worlds import some_world

FEW = SIZES | {"mlp.batch_size": "4", "tt_svd.min_count": "1"}


@pytest.fixture
def tables() -> Tables:
    tables = some_world(1).source()
    # With owners, hardly a playlist would count, and no two tracks would share one.
    return tables | {"playlists": tables["playlists"].drop_columns(["user_id", "created_at"])}


def report(
    tables: Tables, place: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str]:
    """Exit status and text of ``gpu-coldstart check``, with settings that such small data serve."""
    status = main(["check", str(write(tables, place)), *settings(FEW), *options])
    return status, capsys.readouterr().out


def test_sound_data_and_what_a_run_would_do(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = report(tables, tmp_path / "data", capsys)
    assert status == 0
    assert text.startswith("no problems\n")
    warm = sum(split == "warm" for split in column(tables["users"], "split"))
    assert f"{warm} warm users to learn from" in text
    assert "split as the table of users says" in text
    assert f"{len(tables['interactions'])} interactions from 20" in text
    assert f"{len(tables['tracks'])} tracks, " in text


def test_every_problem_of_every_table_at_once(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users, tracks, events = (tables[name] for name in ("users", "tracks", "interactions"))
    ages: list[Any] = [200, 300, *column(users, "age")[2:]]
    splits = ["train", *column(users, "split")[1:]]
    broken = {
        **tables,
        "users": with_column(with_column(users, "age", ages), "split", splits),
        "tracks": with_column(tracks, "track_id", [1, 1, *column(tracks, "track_id")[2:]]),
        "interactions": events.drop_columns(["timestamp"]),
    }
    status, text = report(broken, tmp_path / "data", capsys)
    assert status == 2
    assert text.startswith("4 problems\n")
    for words in (
        "users.parquet, column 'age', row 0, counting from 0, and 1 more: 200 is outside 0 to 130",
        "'train' is none of warm, validation, test, target",
        "the id 1 already stands in row 0",
        "has no column 'timestamp'",
    ):
        assert words in text


def test_what_is_missing_and_what_that_means(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del tables["playlists"]
    tables["users"] = tables["users"].drop_columns(["age"])
    events = tables["interactions"]
    tables["interactions"] = events.filter(
        pa.array([action != "ban" for action in column(events, "action")])
    )
    status, text = report(tables, tmp_path / "data", capsys)
    assert status == 0
    assert "there are no playlists: TT-SVD counts tracks that share" in text
    assert "users has no column 'age'" in text
    assert "nobody did ban: " in text


def test_a_data_set_that_leaves_nobody(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ["warm"] * len(tables["users"])
    tables["users"] = with_column(tables["users"], "split", nobody)
    status, text = report(tables, tmp_path / "data", capsys)
    assert status == 2
    assert "1 problem\n" in text
    assert "no validation users" in text


def test_settings_count(tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables["users"] = tables["users"].drop_columns(["split"])
    _, far = report(tables, tmp_path / "data", capsys, "--set", "split.cold_share=0.2")
    _, near = report(tables, tmp_path / "data", capsys, "--set", "split.cold_share=0.6")
    assert far != near
    assert "split by time" in near


def test_settings_that_the_data_cannot_serve(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("tt_svd.dimension=2000", "evaluation.k=3000")
    options = [part for one in few for part in ("--set", one)]
    status, text = report(tables, tmp_path / "data", capsys, *options)
    assert status == 2
    assert text.startswith("2 problems\n")
    assert "'tt_svd.dimension' is 2000, more than the" in text
    assert "'evaluation.k' asks for 3000 tracks, more than the" in text


def test_string_ids_without_the_table_that_has_them(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del tables["tracks"]
    events = tables["interactions"]
    ids = [
        str(number) if kind == "playlist" else f"t{number}"
        for kind, number in zip(column(events, "entity"), column(events, "entity_id"), strict=True)
    ]
    tables["interactions"] = with_column(events, "entity_id", ids)
    _, text = report(tables, tmp_path / "data", capsys)
    assert text.startswith("1 problem\n")
    assert "there is no table 'tracks'" in text


def test_missing_tables_beside_other_problems(
    tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del tables["tracks"]
    tables["users"] = tables["users"].drop_columns(["registered_at"])
    status, text = report(tables, tmp_path / "data", capsys)
    assert status == 2
    assert text.startswith("2 problems\n")
    assert "there is no table 'tracks': add one with the columns track_id" in text
    assert "users.parquet has no column 'registered_at'" in text


def test_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().out
