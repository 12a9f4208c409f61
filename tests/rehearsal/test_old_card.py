"""A card that RAPIDS and faiss-gpu have left behind: who works in their place, in a rehearsal."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import choose
from tests.builtin import STRATEGIES
from tests.rehearsal.install import Stage, rehearsed
from tests.rehearsal.test_flow import (
    MEASURES,
    TINY,
    Learned,
    apart,
    hand_over,
    lists,
    one_thread,
    run,
    run_on_cpu,
    same_centroids,
    shared,
)
from tests.rehearsal.test_transfers import arrays
from tests.runs.helpers import differing, listed, results

OPTIONS = (*TINY, "--space", "tt-svd")
REASON = (
    "engine cuda: rehearsed card, compute capability 6.1; RAPIDS and faiss-gpu need 7.0, so "
    "reading runs on the CPU"
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return run_on_cpu(tmp_path_factory.mktemp("old") / "cpu", *OPTIONS)


@pytest.fixture(scope="module")
def rehearsal(on_cpu: Learned) -> tuple[Path, Stage]:
    """The old card's run, everything its own."""
    with rehearsed("61", rapids=False) as stage:
        return run(on_cpu[0].with_name("whole"), *OPTIONS), stage


@pytest.fixture(scope="module")
def whole(rehearsal: tuple[Path, Stage]) -> Path:
    return rehearsal[0]


@pytest.fixture(scope="module")
def given(on_cpu: Learned, whole: Path) -> Path:
    """The old card's run with the CPU engine's embeddings, centroids and predictions."""
    out = on_cpu[0].with_name("given")
    hand_over(on_cpu[0], whole, out, "space", "network", "predictions", "predictions.warm")
    with rehearsed("61", rapids=False), same_centroids(on_cpu[1]):
        return run(out, *OPTIONS, "--resume")


@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_it_says_what_runs_on_the_cpu(name: str) -> None:
    with rehearsed("61", rapids=False):
        engine, reason = choose(name)
        kinds = importlib.import_module("gpu_coldstart.engine.cuda.engine")
    assert type(engine) is kinds.PascalEngine
    assert (engine.name, engine.device) == ("cuda", "rehearsed card")
    assert reason == REASON


@pytest.mark.parametrize(("capability", "has"), [("61", False), ("75", False), ("80", True)])
def test_which_cards_multiply_bfloat16(capability: str, has: bool) -> None:
    with rehearsed(capability, rapids=capability != "61"):
        assert choose("cuda")[0].multiplies_bfloat16() == has


def test_a_run_says_so_too(whole: Path) -> None:
    assert REASON in (whole / "run.log").read_text().splitlines()[0]


def test_only_tables_come_from_the_cpu_engine(rehearsal: tuple[Path, Stage]) -> None:
    inside = "engine/cuda/engine.py:"
    to_host, to_device = (
        arrays(rehearsal[1].transfers, kind) for kind in ("device-to-host", "host-to-device")
    )
    assert to_host.keys() == {f"{inside}CudaEngine.to_host"}
    ours = {place for place in to_device if place.startswith(inside)}
    assert ours == {f"{inside}CudaEngine.asarray", f"{inside}PascalEngine.read"}


def test_logs_are_the_same_bit_by_bit(on_cpu: Learned, whole: Path) -> None:
    name = "artifacts/logs.safetensors"
    assert listed(on_cpu[0])[name] == listed(whole)[name]


def test_segments_at_equal_centroids_are_the_same(on_cpu: Learned, given: Path) -> None:
    one, other = listed(on_cpu[0]), listed(given)
    names = {name for name in one if name.startswith("artifacts/tt-svd/segments.")}
    assert len(names) == 3
    assert not differing({n: one[n] for n in names}, {n: other[n] for n in names})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lists_at_equal_embeddings_and_centroids(
    on_cpu: Learned, given: Path, strategy: str
) -> None:
    (tracks, scores), (others, theirs) = (
        lists(place, "tt-svd", strategy) for place in (on_cpu[0], given)
    )
    same, common = shared(tracks, others)
    assert same > 0.9
    assert common > 0.999
    assert_allclose(theirs, scores, atol=1e-5)
    if strategy in ("popularity", "semi", "soft"):
        assert_array_equal(others, tracks)
    assert apart(on_cpu[0], given)["tt-svd", strategy] < 0.001


def test_measures_of_a_run_of_its_own_are_plausible(on_cpu: Learned, whole: Path) -> None:
    """Within 20 %, for other random numbers make another space and other segments."""
    pairs = list(zip(results(on_cpu[0])["rows"], results(whole)["rows"], strict=True))
    assert len(pairs) == len(STRATEGIES)
    for row, same in pairs:
        assert_allclose([same[m] for m in MEASURES], [row[m] for m in MEASURES], rtol=0.2)


@pytest.mark.parametrize("distances", [False, True])
def test_scores_of_all_pairs_are_no_more_than_a_batch_may_take(distances: bool) -> None:
    held: list[int] = []
    with rehearsed("61", total_memory=4 << 30, rapids=False):
        card: Any = choose("cuda", 3 << 29)[0]
        source = card._search._source

        class Noting:
            pair_bytes = source.pair_bytes

            def __call__(self, queries: Any, items: Any, n: int, *, distances: bool) -> Any:
                held.append(4 * len(queries) * len(items))
                return source(queries, items, n, distances=distances)

        card._search._source = Noting()
        queries = card.asarray(np.linspace(1, 2, 400, dtype=np.float32)[:, None])
        items = card.asarray(np.arange(40_000, dtype=np.float32)[:, None])
        find = card.nearest if distances else card.top_k
        assert card.to_host(find(queries, items, 1)[0]).max() == (2 if distances else 39_999)
        assert card._memory.pool // 16 < max(held) <= card._memory.pool // 8
    assert len(held) == 4  # two batches of queries, two of items
