"""Training that was stopped amid its epochs continues from its last checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runs.helpers import (
    Result,
    command,
    differing,
    files_below,
    lasting,
    refused,
    synthetic,
)
from tests.runs.killing import EPOCH
from tests.runs.stages import KILLED, Stopper, whole


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adam", "bfloat16"), ("sgd", "float32")], ids=str
)
def test_killed_amid_its_epochs_it_ends_the_same(
    stopper: Stopper, tmp_path: Path, optimizer: str, precision: str
) -> None:
    """The state is saved after every epoch here, and the kill comes after each."""
    options = [
        *synthetic(
            mlp__optimizer=optimizer,
            mlp__precision=precision,
            mlp__epochs_tt_svd=4,
            mlp__patience=3,
        ),
        *("--space", "tt-svd", "--strategies", "full", "--set", "evaluation.analysis=false"),
    ]
    out, alone = tmp_path / "run", tmp_path / "alone"
    for _ in range(3):
        killed = stopper(*options, "--out", out, stage="tt-svd/network", moment=EPOCH)
        assert killed == Result(KILLED, "", "")
        assert (out / "artifacts/tt-svd/network.checkpoint").exists()
        assert whole(out)
    result = command(*options, "--out", out)
    assert result.status == 0, result.err
    assert command(*options, "--out", alone).status == 0
    curve = json.loads((out / "artifacts/tt-svd/network.json").read_text())
    assert len(curve["train_loss"]) == 4
    assert not differing(lasting(out), lasting(alone))
    assert files_below(out) == files_below(alone)


@pytest.mark.parametrize("space", ["cml", "hlr"])
def test_a_space_killed_amid_its_epochs_ends_the_same(
    stopper: Stopper, tmp_path: Path, space: str
) -> None:
    """Only the epochs that are left are learned, to the same bytes."""
    options = [*synthetic(cml__epochs=3, hlr__epochs=3), "--space", space, "--strategies", "full"]
    options += ["--set", "evaluation.analysis=false"]
    out, alone = tmp_path / "run", tmp_path / "alone"
    states = []
    for _ in range(2):
        killed = stopper(*options, "--out", out, stage=f"{space}/space", moment=EPOCH)
        assert killed == Result(KILLED, "", "")
        states.append((out / f"artifacts/{space}/space.checkpoint").read_bytes())
    assert states[0] != states[1]
    assert command(*options, "--out", out).status == 0
    assert command(*options, "--out", alone).status == 0
    assert not differing(lasting(out), lasting(alone))
    assert files_below(out) == files_below(alone)


def test_a_checkpoint_of_other_settings_is_not_used(stopper: Stopper, tmp_path: Path) -> None:
    options = [*synthetic(), "--space", "tt-svd", "--strategies", "full"]
    out, alone = tmp_path / "run", tmp_path / "alone"
    stopper(*options, "--out", out, stage="tt-svd/network", moment=EPOCH)
    other = [*options, "--set", "mlp.learning_rate=0.01"]
    result = command(*other, "--out", out, "--resume")
    assert result.status == 0, result.err
    assert command(*other, "--out", alone).status == 0
    assert not differing(lasting(out), lasting(alone))


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8])
def test_a_damaged_checkpoint_is_named(stopper: Stopper, tmp_path: Path, content: bytes) -> None:
    options = [*synthetic(), "--space", "tt-svd", "--strategies", "full"]
    out = tmp_path / "run"
    stopper(*options, "--out", out, stage="tt-svd/network", moment=EPOCH)
    path = out / "artifacts/tt-svd/network.checkpoint"
    path.write_bytes(content)
    refused(command(*options, "--out", out), str(path), "delete it")
    path.unlink()
    assert command(*options, "--out", out).status == 0
