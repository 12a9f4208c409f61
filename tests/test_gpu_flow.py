"""The whole flow on a card, against the CPU engine on the same data."""

from __future__ import annotations

import gc
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from numpy.testing import assert_allclose

from gpu_coldstart.engine import Engine, choose
from tests.builtin import SPACES, STRATEGIES
from tests.rehearsal.test_flow import (
    Learned,
    apart,
    hand_over,
    lists,
    run,
    run_on_cpu,
    same_centroids,
    shared,
)
from tests.runs.helpers import command, listed, results, settings

pytestmark = pytest.mark.gpu

PRESET = os.environ.get("GPU_TEST_PRESET", "small")
SMALLER = {"tt_svd.dimension": 32, "ut_als.factors": 40, "ut_als.iterations": 5}
SHORTER = {"mlp.epochs_tt_svd": 5, "mlp.epochs_ut_als": 5, "evaluation.bootstrap": 50}
OPTIONS = ("--preset", PRESET, *settings(SMALLER | SHORTER))


@pytest.fixture(scope="module")
def on_cpu(card: Engine, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return run_on_cpu(tmp_path_factory.mktemp("gpu") / "cpu", *OPTIONS)


@pytest.fixture(scope="module")
def whole(on_cpu: Learned) -> Path:
    """A run on the card, everything its own."""
    return run(on_cpu[0].with_name("whole"), *OPTIONS)


def after(on_cpu: Learned, whole: Path, name: str, *parts: str) -> Path:
    """A run on the card with the CPU engine's centroids, and with parts of its run."""
    out = on_cpu[0].with_name(name)
    hand_over(on_cpu[0], whole, out, *parts)
    with same_centroids(on_cpu[1]):
        return run(out, *OPTIONS, "--resume")


def test_lists_at_equal_embeddings_and_centroids(on_cpu: Learned, whole: Path) -> None:
    parts = ("space", "network", "predictions", "predictions.warm")
    given = after(on_cpu, whole, "given", *parts)
    for space in SPACES:
        for strategy in STRATEGIES:
            tracks = [lists(place, space, strategy)[0] for place in (on_cpu[0], given)]
            common = shared(*tracks)[1]
            assert common > 0.99, (space, strategy)
    assert max(apart(on_cpu[0], given).values()) < 0.003


def test_measures_with_a_network_of_its_own(on_cpu: Learned, whole: Path) -> None:
    """Training adds up in another order, and small differences grow with every step."""
    assert max(apart(on_cpu[0], after(on_cpu, whole, "own", "space")).values()) < 0.01


def test_a_run_of_its_own(card: Engine, on_cpu: Learned, whole: Path) -> None:
    """Within 20 %; another seed was seen to take the CPU engine 11 % away (preset small)."""
    content = results(whole)
    assert (content["engine"], content["device"]) == ("cuda", card.device)
    name = "artifacts/logs.safetensors"
    assert listed(whole)[name] == listed(on_cpu[0])[name]
    for row, same_row in zip(results(on_cpu[0])["rows"], content["rows"], strict=True):
        within = 1e-9 if row["strategy"] == "popularity" else 0.2 * row["ndcg"]
        assert_allclose(same_row["ndcg"], row["ndcg"], rtol=0, atol=within)


@pytest.mark.parametrize("space", SPACES)
def test_training_lowers_the_loss(whole: Path, space: str) -> None:
    curve = json.loads((whole / f"artifacts/{space}/network.json").read_text())
    losses = curve["train_loss"]
    assert len(losses) > 2
    assert losses[-1] < 0.95 * losses[0]
    assert all(later < 1.02 * before for before, later in pairwise(losses))


def test_a_run_keeps_to_its_budget(card: Engine, tmp_path: Path) -> None:
    gc.collect()
    torch.cuda.empty_cache()
    try:
        result = command(
            *OPTIONS, "--engine", "cuda", "--memory-budget", "2.5GB", "--out", tmp_path / "run"
        )
    finally:
        choose("cuda")  # takes the limit back
    assert result.status == 0, result.err
    stages = results(tmp_path / "run")["stages"]
    held = [(stage["peak_gpu_mb"], stage["reserved_gpu_mb"]) for stage in stages]
    assert all(0 < size <= 2560 for sizes in held for size in sizes), held
