"""``gpu-coldstart tune``: whole searches on a very small world."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart.cli.main import main
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.engine import choose
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.stages import InMemory
from gpu_coldstart.spaces import silent
from gpu_coldstart.tuning.bench import Bench, Outcome, saved_in
from gpu_coldstart.tuning.components import component
from gpu_coldstart.tuning.study import Study
from tests.runs.changes import alter, later
from tests.runs.helpers import (
    Result,
    Tables,
    events,
    refused,
    rows_of,
    snapshot,
    synthetic,
    table_of,
    write,
)

GATE = ("gate", *synthetic(), "--seed", "3")
HIDDEN, RATE = "strategies.gate_hidden", "strategies.gate_learning_rate"


def tune(*arguments: object) -> Result:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["tune", *map(str, arguments)])
    return Result(status, out.getvalue(), err.getvalue())


def tuned(*arguments: object) -> Result:
    """The same, where nothing is wrong."""
    result = tune(*arguments)
    assert (result.status, result.err) == (0, "")
    return result


def trials(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def outcomes(out: Path) -> list[tuple[str, ...]]:
    """What does not depend on when, and after how many that were interrupted, a trial was made."""
    apart = {"trial", "seconds"}
    return [tuple(row[key] for key in row if key not in apart) for row in trials(out)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished search of three trials: only to look at."""
    out = tmp_path_factory.mktemp("tune") / "gate"
    return out, tuned(*GATE, "--trials", 3, "--out", out)


@pytest.fixture
def search(done: tuple[Path, Result], tmp_path: Path) -> Path:
    """One that may be changed."""
    return Path(shutil.copytree(done[0], tmp_path / "gate"))


def test_the_first_trial_is_what_is_configured_judged_by_the_validation_users(
    done: tuple[Path, Result],
) -> None:
    config = resolve(files=[done[0] / "config.toml"])
    dataset = DATASETS.get("synthetic").open(config)
    flow = Flow(choose("cpu")[0], config, dataset, {}, progress=silent)
    curve = InMemory()[flow.learned["tt-svd"].states["gate"]].curve
    first, *others = trials(done[0])
    assert float(first["ndcg"]) == pytest.approx(max(curve), abs=1e-9)
    assert (first["state"], first["epochs"]) == ("done", "2")
    values = flat(config)
    assert {first[HIDDEN], first[RATE]} == {str(values[HIDDEN]), str(values[RATE])}
    assert len(others) == 2
    assert len({row[RATE] for row in (first, *others)}) == 3


def test_best_toml_is_a_configuration_with_the_best_trial_and_the_budget(
    done: tuple[Path, Result],
) -> None:
    best = max(trials(done[0]), key=lambda row: float(row["ndcg"]))
    config = resolve(files=[done[0] / "best.toml"])
    values = flat(config)
    assert {key: str(values[key]) for key in (HIDDEN, RATE)} == {k: best[k] for k in (HIDDEN, RATE)}
    assert config.tuning == Config().tuning.replace(gate=3)
    assert (config.spaces, config.seed) == (("tt-svd",), 3)
    assert config.strategies.names == (*Config().strategies.names, "gate")
    assert config.world == resolve(files=[done[0] / "config.toml"]).world
    assert f"{100 * float(best['ndcg']):.2f} % at best (trial {best['trial']} of 3)" in done[1].out


def test_no_test_user_was_recommended_to_or_measured(done: tuple[Path, Result]) -> None:
    assert not list(done[0].rglob("recommendations"))
    assert not list(done[0].rglob("*.measures.parquet"))


def test_the_page_shows_the_figure_and_every_trial(done: tuple[Path, Result]) -> None:
    text = (done[0] / "tuning.html").read_text("utf-8")
    assert 'id="figure-trials-gate' in text
    assert text.count('<th scope="row">') == 8 + 3  # settings, and trials
    assert (done[0] / "figures/trials-gate.svg").stat().st_size > 0


def test_an_interrupted_search_goes_on_to_the_same_trials(
    done: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal within its second trial."""
    out = tmp_path / "gate"
    goes_on, begun = Study.goes_on, set[int]()

    def stopped(study: Study, attempt: Any, epoch: int, ndcg: float) -> bool:
        begun.add(attempt.number)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return goes_on(study, attempt, epoch, ndcg)

    # A shell's background job would ignore it, and the command leaves what is ignored so.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "goes_on", stopped)
        result = tune(*GATE, "--trials", 3, "--out", out)
    signal.signal(signal.SIGINT, handler)
    assert result.status == 130
    assert result.err == "interrupted: the same command continues from here\n"
    assert outcomes(out) == outcomes(done[0])[:1]
    tuned(*GATE, "--trials", 3, "--out", out)
    assert outcomes(out) == outcomes(done[0])
    before = snapshot(out / "trials")
    tuned(*GATE, "--trials", 3, "--out", out)
    assert snapshot(out / "trials") == before


def test_trials_of_a_killed_command_are_made_up_for_by_several_processes(
    done: tuple[Path, Result], search: Path
) -> None:
    config = resolve(files=[search / "config.toml"])
    journal = search / "trials/gate.log"
    killed = Study(journal, component(config, "gate"), config).ask(4)
    assert killed is not None
    assert killed.number == 3
    with journal.open("a") as file:
        file.write('{"op_code": 5, "half')
    (search / "trials/gate.log.lock").symlink_to(journal)
    tuned(*GATE, "--trials", 5, "--jobs", 2, "--out", search)
    assert outcomes(search)[:3] == outcomes(done[0])
    assert sorted(row["trial"] for row in trials(search)) == ["0", "1", "2", "4", "5"]
    assert {row["state"] for row in trials(search)} <= {"done", "pruned"}


def test_another_search_in_the_same_place_is_refused(search: Path) -> None:
    before = snapshot(search)
    for words, *more in (
        (HIDDEN, "--only", RATE),
        ("0.2 to 2", "--range", "strategies.gate_smoothing=0.5:2"),
        ("'dropoutnet-full'", "dropoutnet-full"),
        ("segments.k", "--set", "segments.k=5"),
    ):
        refused(tune(*GATE, *more, "--trials", 3, "--out", search), words, "--out DIR")
    assert snapshot(search) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["gates"], ["'gates'", "did you mean gate"]),
        (["semi"], ["semi has no setting", "--strategy semi"]),
        (["gate", "--strategy", "semi"], ["lists of semi do not depend on gate"]),
        (["gate", "--only", "gate.hidden"], ["gate.hidden", "did you mean mlp.hidden?"]),
        (["gate", "--only", "mlp.hidden"], ["'mlp.hidden' is not searched with gate"]),
        (["gate", "--only", "strategies.gate_epochs"], ["gate_epochs' is not searched", "--range"]),
        (["gate", "--range", f"{RATE}=1:x"], ["1:x is no range", "KEY=LOW:HIGH"]),
        (["gate", "--range", f"{RATE}=0:1:log"], ["0:1:log is empty", "above 0"]),
        (["gate", "--range", f"{HIDDEN}=0:9"], [HIDDEN, "at least 1"]),
        (["gate", "--trials", "0"], ["--trials", "at least 1"]),
    ],
    ids=lambda each: " ".join(each),
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(
    options: list[str], words: list[str], tmp_path: Path
) -> None:
    refused(tune(*options, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_hopeless_learning_is_ended(done: tuple[Path, Result], tmp_path: Path) -> None:
    config = resolve(files=[done[0] / "config.toml"])
    gate = component(config, "gate")
    study = Study(tmp_path / "gate.log", gate, config)
    curves = [[0.1 * epoch for epoch in range(1, 11)]] * 5 + [[0.01] * 10]
    heard = []
    for curve in curves:
        attempt = study.ask(len(curves))
        assert attempt is not None
        epochs = [study.goes_on(attempt, epoch, ndcg) for epoch, ndcg in enumerate(curve, 1)]
        heard.append(epochs)
        study.finish(attempt, curve[-1] if all(epochs) else None)
    assert all(all(epochs) for epochs in heard[:5])
    assert heard[5][:4] == [True] * 4
    assert not heard[5][4]
    assert [entry.state for entry in study.entries] == ["done"] * 5 + ["pruned"]
    dataset = DATASETS.get("synthetic").open(config)
    saved = saved_in(done[0])
    bench = Bench(choose("cpu")[0], config, dataset, gate, saved=saved, progress=silent)
    reached: list[int] = []

    def no_more(epoch: int, ndcg: float) -> bool:
        reached.append(epoch)
        return False

    assert bench.tried({}, no_more) == Outcome()
    assert reached == [1]


def test_epochs_of_the_network_are_judged_by_the_lists_that_would_be_made(
    done: tuple[Path, Result],
) -> None:
    """Without patience the last epoch is the network that is judged in the end."""
    config = resolve(
        files=[done[0] / "config.toml"],
        settings={"mlp.patience": 0, "strategies.exclude_seen": True},
    )
    saved, dataset = saved_in(done[0]), DATASETS.get("synthetic").open(config)
    told: dict[str, list[float]] = {"semi": [], "full": [], "gate": []}
    for judge, heard in told.items():
        part = component(config, "mlp", judge=judge)
        bench = Bench(choose("cpu")[0], config, dataset, part, saved=saved, progress=silent)

        def go_on(epoch: int, ndcg: float, heard: list[float] = heard) -> bool:
            heard.append(ndcg)
            assert epoch == len(heard)
            return True

        ended = bench.tried({"mlp.learning_rate": 0.01}, go_on).ndcg
        if judge != "gate":  # which learns, and tells of its own epochs alone
            assert heard[-1] == pytest.approx(ended, abs=1e-4)
            assert bench.tried({}, lambda epoch, ndcg: False) == Outcome()
        assert len(heard) == 2
    assert told["semi"] != told["full"]


def test_what_test_users_go_on_to_do_changes_nothing(tables: Tables, tmp_path: Path) -> None:
    """Of a part that is no strategy, and so is judged by the lists of another."""
    changed = dict(tables)
    rows = alter(rows_of(tables["interactions"]), later(tables, "test"), tables)
    changed["interactions"] = table_of(rows, tables["interactions"])
    found = []
    for place, data in (("one", tables), ("other", changed)):
        options = events(write(data, tmp_path / place / "data"))
        out = tmp_path / place / "out"
        tuned("segments", *options, "--trials", 3, "--out", out)
        found.append(outcomes(out))
    truths = [(tmp_path / place / "out/artifacts/truth.safetensors") for place in ("one", "other")]
    assert truths[0].read_bytes() != truths[1].read_bytes()
    assert found[0] == found[1]
    assert len({row[2] for row in found[0]}) > 1


def test_without_optuna_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("gpu_coldstart.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = tune(*GATE, "--out", tmp_path / "gate")
    refused(result, "optuna", "pip install 'gpu-coldstart[tune]'")
    assert not (tmp_path / "gate").exists()
