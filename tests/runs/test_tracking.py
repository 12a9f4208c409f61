"""``--track``: what TensorBoard, MLflow and W&B hear of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gpu_coldstart.runs import tracking
from gpu_coldstart.runs.tracking import TRACKERS, tracked
from tests.runs.helpers import command, refused, results, synthetic

OPTIONS = ("--space", "tt-svd", "--strategies", "popularity,semi,gate")


def test_tensorboard_hears_of_stages_epochs_and_results(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = command(*synthetic(), *OPTIONS, "--track", "tensorboard", "--out", out)
    assert done.status == 0, done.err
    (folder,) = (out / "tensorboard").iterdir()
    heard = EventAccumulator(str(folder))
    heard.Reload()

    def series(name: str) -> Any:
        return [(event.step, event.value) for event in heard.Scalars(name)]

    curve = json.loads((out / "artifacts/tt-svd/network.json").read_text())
    for name in ("train_loss", "validation_cosine"):
        wanted = list(enumerate(map(pytest.approx, curve[name]), start=1))
        assert series(f"tt-svd/network/{name}") == wanted
    assert [step for step, _ in series("tt-svd/gate.state/validation_ndcg")] == [1, 2]
    for row in results(out)["rows"]:
        for name in ("precision", "recall", "ndcg"):
            wanted = [(0, pytest.approx(row[name]))]
            assert series(f"results/tt-svd/{row['strategy']}/{name}@10") == wanted
    for time in json.loads((out / "times.json").read_text()):
        if time["name"] != "report":
            assert series(f"stages/{time['name']}/seconds") == [(0, pytest.approx(time["seconds"]))]
    assert "ut_als.factors = 8" in str(heard.Tensors("settings/text_summary")[0])


class Noting:
    """A library that takes everything down that it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append((name, arguments, keywords))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"), experiment_id="e")

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [call[1:] for call in self.calls if call[0] == name]


SETTINGS = {f"section.{number}": number for number in range(130)}


@pytest.mark.parametrize("done", [True, False])
def test_mlflow_has_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, done: bool) -> None:
    client, mlflow, entities = Noting(), ModuleType("mlflow"), ModuleType("mlflow.entities")
    mlflow.MlflowClient = lambda: client  # type: ignore[attr-defined]
    entities.Param = lambda key, value: (key, value)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    follow("mlflow", tmp_path, done=done)
    batches = [keywords["params"] for _, keywords in client.of("log_batch")]
    assert [len(batch) for batch in batches] == [100, 30]
    assert dict(each for batch in batches for each in batch) == {
        key: str(value) for key, value in SETTINGS.items()
    }
    assert client.of("create_run") == [(("e",), {"run_name": tmp_path.name})]
    assert client.of("log_metric") == [(("r", "x/loss", value), {"step": i}) for i, value in LOSSES]
    assert client.of("set_terminated") == [(("r", "FINISHED" if done else "FAILED"), {})]


@pytest.mark.parametrize("done", [True, False])
def test_wandb_has_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, done: bool) -> None:
    run, wandb, begun = Noting(), ModuleType("wandb"), dict[str, Any]()
    wandb.init = lambda **keywords: begun.update(keywords) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    follow("wandb", tmp_path, done=done)
    assert (begun["name"], begun["config"]) == (tmp_path.name, SETTINGS)
    assert run.of("log") == [(({"x/loss": value, "step": i},), {}) for i, value in LOSSES]
    assert run.of("finish") == [((), {"exit_code": 0 if done else 1})]


LOSSES = [(1, 0.5), (2, 0.25)]


def follow(name: str, out: Path, *, done: bool) -> None:
    """A run of one stage, which is stopped after it if it is not to be done."""
    try:
        with tracked([name], out, SETTINGS) as followed:
            followed.learned("x", SimpleNamespace(losses=[value for _, value in LOSSES]))
            if not done:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not done


class Broken:
    """A tracker whose server is away from the second number on, and when the run ends."""

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        del out, settings
        self.told = 0

    def measured(self, name: str, value: float, step: int) -> None:
        self.told += 1
        if self.told > 1:
            raise ConnectionError("the server is away.\nTry again")

    def close(self, *, done: bool) -> None:
        raise AssertionError("it was given up")


def test_a_run_goes_on_without_a_tracker_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracking, "TRACKERS", {**TRACKERS, "wandb": Broken})
    options = ("--track", "wandb", "--track", "tensorboard", "--out", tmp_path)
    done = command(*synthetic(), *OPTIONS, *options)
    assert done.status == 0, done.err
    log = (tmp_path / "run.log").read_text()
    assert log.count("wandb was given up (the server is away): the run goes on") == 1
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_tracker_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    done = command(*synthetic(), *OPTIONS, "--track", "mlflow", "--out", tmp_path / "run")
    refused(done, "--track mlflow needs mlflow: pip install 'gpu-coldstart[mlflow]'")


def test_a_tracker_that_cannot_begin_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wandb = ModuleType("wandb")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    done = command(*synthetic(), *OPTIONS, "--track", "wandb", "--out", tmp_path / "run")
    refused(done, "--track wandb cannot begin (module 'wandb' has no attribute 'init'): mend that")
