"""The package of docs/extending.md, installed beside ours and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest

from tests.runs.helpers import (
    WORLD,
    Result,
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
from tests.runs.stages import KILLED, Stopper, stopping

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests/plugin"
STATE = "artifacts/example-svd/example-country.state.safetensors"
MEASURES = "artifacts/example-svd/example-country.measures.parquet"
EXAMPLES = "artifacts/example-svd/examples.parquet"
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
OPTIONS = ("--preset", "tiny", "--engine", "cpu", *settings(TINY))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a process where the package is installed."""
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
    return one_thread() | {"PYTHONPATH": os.pathsep.join(places)}


Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(environment: dict[str, str]) -> Python:
    """Runs Python there."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT)

    return run


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Iterator[Stopper]:
    """Runs the command there."""
    with stopping(environment) as command:
        yield command


@pytest.fixture(scope="module")
def done(run: Stopper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("plugin") / "run"
    assert run(*OPTIONS, "--out", out) == Result(0, "", "")
    return out


UNDRAWN = (*OPTIONS, *settings({"evaluation.figures": "false"}))


def undrawn(out: Path) -> dict[str, bytes]:
    """What a run learned, without its figures."""
    files = learned(out)
    return {name: files[name] for name in files if not name.startswith("figures/")}


def test_the_page_shows_exactly_this_package() -> None:
    text = (ROOT / "docs/extending.md").read_text()
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


def test_labels_stand_in_the_tables_and_the_report(done: Path) -> None:
    printed, report = ((done / name).read_text() for name in ("run.log", "report.html"))
    for label in ("Country Charts", "History SVD"):
        assert label in printed
        assert label in report
    assert {row["strategy"] for row in results(done)["rows"]} == {
        "popularity",
        "semi",
        "example-country",
    }


def test_settings_stand_in_the_configuration(done: Path) -> None:
    config = tomllib.loads((done / "config.toml").read_text())
    assert config["model"] == "example-linear"
    assert config["example_svd"] == {"dimension": 8}
    assert config["example_linear"]["epochs"] == 3
    assert config["strategies"]["example_country_least"] == [1, 10, 100]


def test_the_run_knows_the_version_of_the_package(done: Path) -> None:
    assert manifest(done)["identity"]["versions"]["coldstart-example"] == "1.0"


def test_what_the_strategy_learned_is_an_artifact_with_a_curve(done: Path) -> None:
    assert STATE in listed(done)
    rows = pq.read_table(done / "artifacts/analysis/learning.parquet").to_pylist()
    mine = [row for row in rows if row["trained"] == "example-country"]
    assert [row["epoch"] for row in mine] == [1, 2, 3]
    scores = [row["validation_ndcg"] for row in mine]
    assert all(0 < score <= 1 for score in scores)
    assert [row["epoch"] for row in mine if row["kept"]] == [1 + scores.index(max(scores))]
    network = [row for row in rows if row["trained"] == "network"]
    assert [row["epoch"] for row in network] == [1, 2, 3]
    assert all(row["validation_ndcg"] is None for row in network)
    assert "Validation NDCG, Country Charts" in (done / "figures/learning.svg").read_text()


def test_killed_after_its_stage_it_ends_the_same(run: Stopper, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stage = "example-svd/example-country.state"
    assert run(*UNDRAWN, "--out", out, stage=stage, moment="after").status == KILLED
    assert run(*UNDRAWN, "--out", out, "--resume").status == 0
    assert differing(learned(out), undrawn(done)) == set()


def test_a_finished_run_is_not_made_again(run: Stopper, done: Path) -> None:
    before = snapshot(done)
    assert run(*OPTIONS, "--out", done, "--resume").status == 0
    assert {Path(name).name for name in differing(before, snapshot(done))} <= {"run.log"}


def test_its_parameter_changes_it_and_nothing_else(
    run: Stopper, done: Path, tmp_path: Path
) -> None:
    """With no country large enough it is the chart of all warm users."""
    out = tmp_path / "run"
    assert run(*UNDRAWN, *settings({KEY: "1000"}), "--out", out).status == 0
    assert differing(learned(out), undrawn(done)) - tabled() == {STATE, LISTS, MEASURES, EXAMPLES}
    lists = out / "recommendations/example-svd"
    chart, mine = (
        pq.read_table(lists / f"{name}.parquet")["track_id"]
        for name in ("popularity", "example-country")
    )
    assert mine.equals(chart)


@pytest.mark.parametrize(("key", "value"), [(KEY, "-1"), ("example_linear.drop_last", "true")])
def test_a_wrong_value_is_refused(run: Stopper, tmp_path: Path, key: str, value: str) -> None:
    out = tmp_path / "run"
    result = run(*UNDRAWN, *settings({key: value}), "--out", out)
    assert result.status == 2
    assert re.search(rf"^error: setting '{key}'", result.err, re.MULTILINE), result.err
    assert not (out / "results.json").exists()


def test_its_data_set_runs(run: Stopper, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(*UNDRAWN, "--dataset", "example-radio", "--out", out).status == 0
    assert results(out)["dataset"] == "example-radio"


def test_a_model_with_the_parts_is_fitted_saved_and_loaded(python: Python, tmp_path: Path) -> None:
    code = dedent(
        """
        import sys

        from gpu_coldstart import ColdStart
        from gpu_coldstart.config import Config, resolve
        from gpu_coldstart.tuning.components import component
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
        print(component(resolve(settings={"spaces": "example-svd"}), "example-svd").ranges)
        """
    )
    answer = python("-c", code, tmp_path / "bundle")
    assert answer.returncode == 0, answer.stderr
    assert "reasons" in answer.stdout
    assert "{'example_svd.dimension': Searched(low=16, high=256, log=True)}" in answer.stdout
    assert (tmp_path / "bundle/strategies/example-country.safetensors").exists()
