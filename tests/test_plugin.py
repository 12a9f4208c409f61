"""The package of CONTRIBUTING.md, installed beside ours and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest

from tests.runs.helpers import (
    WORLD,
    differing,
    learned,
    listed,
    manifest,
    one_thread,
    results,
    settings,
    snapshot,
    tabled,
)

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests/plugin"
STATE = "artifacts/example-svd/example-country.state.safetensors"
MEASURES = "artifacts/example-svd/example-country.measures.parquet"
LISTS = "recommendations/example-svd/example-country.parquet"

KEY = "strategies.example_country_least"

TINY = {
    **{f"world.{name}": value for name, value in WORLD.items()},
    "spaces": "example-svd",
    "model": "example-linear",
    "strategies.names": "popularity,semi,example-country",
    "example_svd.dimension": "8",
    "example_linear.epochs": "3",
    "segments.k": "6",
    "evaluation.k": "10",
    "evaluation.bootstrap": "20",
}
BATCHES = {"example_linear.drop_last": "true"}
OPTIONS = ("--preset", "tiny", "--engine", "cpu", *settings(TINY))

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Runs Python where the package is installed."""
    site = tmp_path_factory.mktemp("site")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *offline,
        "--target",
        str(site),
        PLUGIN,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"make test installs what this needs: {done.stderr}"
    places = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = one_thread() | {"PYTHONPATH": os.pathsep.join(places)}

    def run(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
        words = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            words, capture_output=True, text=True, env=environment, input=text, cwd=ROOT
        )

    return run


@pytest.fixture(scope="module")
def done(python: Python, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run and what it printed."""
    out = tmp_path_factory.mktemp("plugin") / "run"
    ended = python("-m", "gpu_coldstart.run", *OPTIONS, "--out", out)
    assert ended.returncode == 0, ended.stderr
    return out, ended.stdout


Others = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def others(
    python: Python, tmp_path_factory: pytest.TempPathFactory, done: tuple[Path, str]
) -> tuple[Path, Others]:
    """Further runs, in forks of one process: where they are, and how each ended."""
    place = tmp_path_factory.mktemp("others")
    plain = [*OPTIONS, *settings({"evaluation.figures": "false"})]
    killed = [*plain, "--out", place / "killed"]
    lines = {
        "killed": killed,
        "resumed": [*killed, "--resume"],
        "finished": [*OPTIONS, "--out", done[0], "--resume"],
        "parameter": [*plain, *settings({KEY: "1000"}), "--out", place / "parameter"],
        "wrong": [*plain, *settings({KEY: "-1"}), "--out", place / "wrong"],
        "batches": [*plain, *settings(BATCHES), "--out", place / "batches"],
        "radio": [*plain, "--dataset", "example-radio", "--out", place / "radio"],
    }
    jobs = [
        {
            "arguments": [str(word) for word in line],
            "stage": "example-svd/example-country.state" if name == "killed" else "",
            "moment": "after",
            "how": "SIGKILL",
        }
        for name, line in lines.items()
    ]
    before = snapshot(done[0])
    ended = python("-m", "tests.runs.killing", text="".join(json.dumps(job) + "\n" for job in jobs))
    assert ended.returncode == 0, ended.stderr
    touched = {Path(name).name for name in differing(before, snapshot(done[0]))}
    assert touched <= {"run.log"}, "a finished run is not made again"
    answers = (json.loads(line) for line in ended.stdout.splitlines())
    return place, {name: (status, err) for name, (status, err) in zip(lines, answers, strict=True)}


def undrawn(out: Path) -> dict[str, bytes]:
    """What a run learned, without its figures."""
    files = learned(out)
    return {name: files[name] for name in files if not name.startswith("figures/")}


def test_contributing_shows_exactly_this_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = dict.fromkeys(("toml", "python"), "")
    for language in blocks:
        parts = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks[language] = "\n\n".join(parts)
    assert blocks["toml"] == (PLUGIN / "pyproject.toml").read_text()
    assert blocks["python"] == (PLUGIN / "coldstart_example.py").read_text()


def test_help_lists_the_parts(python: Python) -> None:
    text = python("-m", "gpu_coldstart.run", "--help").stdout
    for name in ("example-country", "example-svd", "example-linear", "example-radio"):
        assert name in text


def test_labels_stand_in_the_tables_and_the_report(done: tuple[Path, str]) -> None:
    out, printed = done
    report = (out / "report.html").read_text()
    for label in ("Country Charts", "History SVD"):
        assert label in printed
        assert label in report
    assert {row["strategy"] for row in results(out)["rows"]} == {
        "popularity",
        "semi",
        "example-country",
    }


def test_settings_stand_in_the_configuration(done: tuple[Path, str]) -> None:
    config = tomllib.loads((done[0] / "config.toml").read_text())
    assert config["model"] == "example-linear"
    assert config["example_svd"] == {"dimension": 8}
    assert config["example_linear"]["epochs"] == 3
    assert config["strategies"]["example_country_least"] == [1, 10, 100]


def test_the_run_knows_the_version_of_the_package(done: tuple[Path, str]) -> None:
    assert manifest(done[0])["identity"]["versions"]["coldstart-example"] == "1.0"


def test_what_the_strategy_learned_is_an_artifact_with_a_curve(done: tuple[Path, str]) -> None:
    out, _ = done
    assert STATE in listed(out)
    rows = pq.read_table(out / "artifacts/analysis/learning.parquet").to_pylist()
    mine = [row for row in rows if row["trained"] == "example-country"]
    assert [row["epoch"] for row in mine] == [1, 2, 3]
    scores = [row["validation_ndcg"] for row in mine]
    assert all(0 < score <= 1 for score in scores)
    assert [row["epoch"] for row in mine if row["kept"]] == [1 + scores.index(max(scores))]
    network = [row for row in rows if row["trained"] == "network"]
    assert [row["epoch"] for row in network] == [1, 2, 3]
    assert all(row["validation_ndcg"] is None for row in network)
    assert "Validation NDCG, Country Charts" in (out / "figures/learning.svg").read_text()


def test_killed_after_its_stage_it_ends_the_same(
    others: tuple[Path, Others], done: tuple[Path, str]
) -> None:
    place, ends = others
    assert (ends["killed"][0], ends["resumed"][0], ends["finished"][0]) == (-9, 0, 0), ends
    assert differing(learned(place / "killed"), undrawn(done[0])) == set()


def test_its_parameter_changes_it_and_nothing_else(
    others: tuple[Path, Others], done: tuple[Path, str]
) -> None:
    """With no country large enough it is the chart of all warm users."""
    place, ends = others
    assert ends["parameter"][0] == 0, ends
    changed = differing(learned(place / "parameter"), undrawn(done[0])) - tabled()
    assert changed == {STATE, LISTS, MEASURES}
    lists = place / "parameter/recommendations/example-svd"
    chart, mine = (
        pq.read_table(lists / f"{name}.parquet")["track_id"]
        for name in ("popularity", "example-country")
    )
    assert mine.equals(chart)


@pytest.mark.parametrize(("run", "key"), [("wrong", KEY), ("batches", "example_linear.drop_last")])
def test_a_wrong_value_is_refused(run: str, key: str, others: tuple[Path, Others]) -> None:
    place, ends = others
    status, err = ends[run]
    assert status == 2
    assert re.search(rf"^error: setting '{key}'", err, re.MULTILINE), err
    assert not (place / run / "results.json").exists()


def test_its_data_set_runs(others: tuple[Path, Others]) -> None:
    place, ends = others
    assert ends["radio"][0] == 0, ends
    assert results(place / "radio")["dataset"] == "example-radio"


def test_a_model_with_the_parts_is_fitted_saved_and_loaded(python: Python, tmp_path: Path) -> None:
    code = dedent(
        """
        import sys

        from gpu_coldstart import ColdStart
        from gpu_coldstart.config import Config
        from gpu_coldstart.registry import DATASETS

        past = DATASETS.get("example-radio").open(Config())
        model = ColdStart(
            space="example-svd",
            model="example-linear",
            strategies=["semi", "example-country"],
            engine="cpu",
            preset="tiny",
            example_svd={"dimension": 4},
            example_linear={"epochs": 2},
        ).fit(past)
        model.save(sys.argv[1])
        loaded = ColdStart.load(sys.argv[1], engine="cpu")
        users = {"user_id": [1, 2], "country": ["FR", None]}
        for strategy in ("semi", "example-country"):
            lists = [m.recommend(users, k=5, strategy=strategy) for m in (model, loaded)]
            assert lists[0].equals(lists[1])
            assert lists[0]["rank"].to_pylist() == [1, 2, 3, 4, 5] * 2
        explained = loaded.recommend(users, k=5, strategy="example-country", explain=True)
        print(explained.column_names)
        """
    )
    answer = python("-c", code, tmp_path / "bundle")
    assert answer.returncode == 0, answer.stderr
    assert "reasons" in answer.stdout
    assert (tmp_path / "bundle/strategies/example-country.safetensors").exists()
