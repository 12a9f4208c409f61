"""A card that RAPIDS and faiss-gpu have left behind: who works in their place, in a rehearsal."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import choose
from tests.builtin import STRATEGIES
from tests.rehearsal.install import rehearsed
from tests.rehearsal.test_flow import (
    MEASURES,
    TINY,
    apart,
    hand_over,
    lists,
    one_thread,
    run,
    shared,
)
from tests.runs.helpers import differing, listed, results

OPTIONS = (*TINY, "--space", "tt-svd")
REASON = (
    "engine cuda: rehearsed card, compute capability 6.1; RAPIDS and faiss-gpu need 7.0, so "
    "reading, k-means and retrieval run on the CPU"
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("old") / "cpu", *OPTIONS, engine="cpu")


@pytest.fixture(scope="module")
def whole(on_cpu: Path) -> Path:
    """The old card's run, everything its own."""
    with rehearsed("61", rapids=False):
        return run(on_cpu.with_name("whole"), *OPTIONS)


@pytest.fixture(scope="module")
def given(on_cpu: Path, whole: Path) -> Path:
    """The old card's run with the CPU engine's embeddings and predictions."""
    out = on_cpu.with_name("given")
    hand_over(on_cpu, whole, out, "space", "network", "predictions", "predictions.warm")
    with rehearsed("61", rapids=False):
        return run(out, *OPTIONS, "--resume")


@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_it_says_what_runs_on_the_cpu(name: str) -> None:
    with rehearsed("61", rapids=False):
        engine, reason = choose(name)
        kinds = importlib.import_module("gpu_coldstart.engine.cuda.engine")
    assert type(engine) is kinds.PascalEngine
    assert (engine.name, engine.device) == ("cuda", "rehearsed card")
    assert reason == REASON


def test_a_run_says_so_too(whole: Path) -> None:
    assert REASON in (whole / "run.log").read_text().splitlines()[0]


def test_logs_are_the_same_bit_by_bit(on_cpu: Path, whole: Path) -> None:
    name = "artifacts/logs.safetensors"
    assert listed(on_cpu)[name] == listed(whole)[name]


def test_segments_of_equal_embeddings_are_the_same(on_cpu: Path, given: Path) -> None:
    """The CPU engine cuts them, and gets the same points."""
    one, other = listed(on_cpu), listed(given)
    names = {name for name in one if name.startswith("artifacts/tt-svd/segments.")}
    assert len(names) == 3
    assert not differing({n: one[n] for n in names}, {n: other[n] for n in names})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lists_at_equal_embeddings(on_cpu: Path, given: Path, strategy: str) -> None:
    (tracks, scores), (others, theirs) = (
        lists(place, "tt-svd", strategy) for place in (on_cpu, given)
    )
    if strategy != "input-features":  # whose points differ in the last bits, so its segments may
        same, common = shared(tracks, others)
        assert same > 0.9
        assert common > 0.999
        assert_allclose(theirs, scores, atol=1e-5)
    if strategy in ("popularity", "semi", "soft"):
        assert_array_equal(others, tracks)
    assert apart(on_cpu, given)["tt-svd", strategy] < 0.003


def test_measures_of_a_run_of_its_own_are_plausible(on_cpu: Path, whole: Path) -> None:
    """Within 20 %, for other random numbers make another space and other segments."""
    pairs = list(zip(results(on_cpu)["rows"], results(whole)["rows"], strict=True))
    assert len(pairs) == len(STRATEGIES)
    for row, same in pairs:
        assert_allclose([same[m] for m in MEASURES], [row[m] for m in MEASURES], rtol=0.2)
