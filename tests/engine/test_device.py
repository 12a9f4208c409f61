"""Which of several cards is taken (``--device``), and what a run makes of another model.

Cards are those of a rehearsal (see ``tests/rehearsal``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gpu_coldstart import ColdStart
from gpu_coldstart.engine import choose
from gpu_coldstart.errors import DeviceError
from tests.rehearsal.install import Stage, rehearsed
from tests.runs.helpers import command, manifest, refused, synthetic

CARDS = ("little card", "big card", "big card")
FEW = ("--space", "tt-svd", "--strategies", "popularity")


@pytest.fixture
def several() -> Iterator[Stage]:
    with rehearsed() as stage:
        stage.cards = CARDS
        yield stage


def test_every_library_works_on_the_card_asked_for(several: Stage) -> None:
    engine, reason = choose("cuda", device=1)
    assert several.selected == {"torch": 1, "cupy": 1}
    assert engine.device == "big card"
    assert reason == "engine cuda: big card, compute capability 9.0, GPU 1 of 0 to 2"


def test_without_a_number_it_is_pytorchs_current_card(several: Stage) -> None:
    several.selected["torch"] = 2
    assert "GPU 2 of 0 to 2" in choose("auto")[1]
    assert several.selected == {"torch": 2, "cupy": 2}


@pytest.mark.parametrize("engine", ["cuda", "auto"])
@pytest.mark.parametrize(
    ("cards", "sentence"),
    [
        (CARDS, "--device is 3, but the GPUs here are 0 to 2"),
        (CARDS[:1], "--device is 3, but the only GPU here is 0: leave it out"),
    ],
)
def test_a_number_that_is_no_card(
    several: Stage, tmp_path: Path, engine: str, cards: tuple[str, ...], sentence: str
) -> None:
    several.cards = cards
    options = ("--engine", engine, "--device", "3", "--out", tmp_path / "run")
    refused(command(*synthetic(), *options), sentence)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DeviceError, match="device is -1"):
        choose(engine, device=-1)


def test_the_cpu_engine_has_none(tmp_path: Path) -> None:
    options = ("--engine", "cpu", "--device", "0", "--out", tmp_path / "run")
    refused(command(*synthetic(), *options), "--device is about a GPU: leave it out on engine cpu")


def test_where_there_is_no_card_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto", 1 << 33, 1)[1].endswith(
        "; the memory budget has no effect; the device has no effect"
    )


def test_a_run_goes_on_only_on_the_same_model(several: Stage, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = (*synthetic(), *FEW, "--engine", "cuda", "--out", out)
    assert command(*options, "--device", "1").status == 0
    assert manifest(out)["identity"]["device"] == "big card"
    several.selected.update(torch=0, cupy=0)
    refused(command(*options, "--resume"), "GPU (was 'big card', now 'little card')")
    again = command(*options, "--device", "2")
    assert "finished: there is nothing to do" in again.out, again.err
    exported = ColdStart.from_run(out, engine=choose("cpu")[0])
    assert exported.recommend({"user_id": [0]}, k=3, strategy="popularity").num_rows == 3
