"""Budget, batches and halves: what happens where the memory does not suffice, in a rehearsal."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_coldstart.cli.wording import sentence
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.errors import UserError
from tests.engine.batched import (
    NAMES,
    Found,
    Primitive,
    nearest,
    product,
    segment_counts,
    soft_allocate,
    to_host,
    top_k,
)
from tests.rehearsal import torch_cuda
from tests.rehearsal.cupy_array import Ndarray, OutOfMemoryError, host_of, wrap
from tests.rehearsal.cupy_cuda import CUDARuntimeError
from tests.rehearsal.install import Stage, rehearsed

SENTENCE = (
    "the GPU memory of {} does not suffice for {}: raise --memory-budget where the card has more, "
    "choose smaller sizes, or use --engine cpu"
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with rehearsed() as found:
        yield found


@pytest.fixture(scope="module")
def module(stage: Stage) -> Any:
    return importlib.import_module("gpu_coldstart.engine.cuda.memory")


@pytest.fixture(scope="module", params=["CudaEngine", "PascalEngine"])
def card(request: pytest.FixtureRequest, stage: Stage) -> Engine:
    kinds = importlib.import_module("gpu_coldstart.engine.cuda.engine")
    engine: Engine = getattr(kinds, request.param)()
    return engine


LACKS: dict[str, Exception] = {
    "cupy": OutOfMemoryError(1 << 30, 0),
    "driver": CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
    "torch": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "rmm": MemoryError("std::bad_alloc: out_of_memory: CUDA error at cuda_memory_resource"),
    "rapids": RuntimeError("std::bad_alloc"),
    "faiss": RuntimeError("Error: 'err == cudaSuccess' failed: cudaMalloc error"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    "cusparse": RuntimeError("CUSPARSE_STATUS_INSUFFICIENT_RESOURCES: insufficient resources"),
}
"""A lack of memory in the words of each library."""

in_any_words = pytest.mark.parametrize("error", LACKS.values(), ids=LACKS)


@pytest.mark.parametrize("library", ["cupy", "rmm"])
def test_the_pool_tells_a_lack_of_memory_as_the_libraries_do(
    module: Any, stage: Stage, library: str
) -> None:
    """Their C++ code passes on nothing but MemoryError, and PyTorch raises a RuntimeError."""
    cupy_asks, stream = module._cupy_allocate, torch_cuda._RmmStream(0)
    ask = cupy_asks if library == "cupy" else partial(module._rmm_allocate, stream=stream)
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        ask(stage.total_memory + 1)


@pytest.mark.parametrize("told", ["", "0", "1"])
def test_nothing_is_cached_where_pytorch_is_told_so(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """A sanitizer sees no fault inside of a cached block, and PyTorch caches others' always."""
    monkeypatch.setenv("PYTORCH_NO_CUDA_MEMORY_CACHING", told)
    with rehearsed() as stage:
        choose("cuda")
    assert (stage.allocator is None) == (told == "1")
    pooled = isinstance(stage.resource, torch_cuda.CallbackMemoryResource)
    assert pooled == (told != "1")
    assert stage.resource is not None


# -- batches -----------------------------------------------------------------------------------


@given(
    n=st.integers(0, 4000),
    row_bytes=st.sampled_from([0, 1, 700, 1 << 24, 1 << 30, 1 << 40]),
    budget=st.integers(2, 60).map(lambda size: size << 30),
    most=st.integers(1, 5000),
)
def test_every_row_once_and_in_order(
    module: Any, n: int, row_bytes: int, budget: int, most: int
) -> None:
    memory = module.Memory(budget, rapids=True)
    tried: list[tuple[int, int]] = []
    done: list[int] = []

    def work(start: int, stop: int) -> None:
        tried.append((start, stop))
        if stop - start > most:
            raise torch.OutOfMemoryError
        done.extend(range(start, stop))

    memory.batched("a test", n, row_bytes, work)
    assert done == list(range(n))
    assert all(0 < stop - start <= memory.rows(row_bytes) for start, stop in tried)
    failed = [stop - start for start, stop in tried if stop - start > most]
    assert failed == sorted(set(failed), reverse=True)  # what was too much is not tried again


def test_a_batch_is_as_large_as_the_memory_allows(module: Any) -> None:
    for gigabytes in (2, 4, 8):
        memory = module.Memory(gigabytes << 30, rapids=True)
        runs: list[int] = []
        memory.batched("a test", 10**6, 1 << 20, lambda a, b, runs=runs: runs.append(b - a))
        assert len(set(runs[:-1])) == 1
        assert 31 << 20 < runs[0] << 20 <= memory.pool // 8 < (runs[0] + 1) << 20


@in_any_words
def test_what_does_not_fit_is_done_in_halves(module: Any, error: Exception) -> None:
    memory = module.Memory(None, rapids=True)
    tried: list[tuple[int, int]] = []

    def work(start: int, stop: int) -> None:
        tried.append((start, stop))
        if stop - start > 3:
            raise error

    memory.batched("a test", 20, 1, work)
    assert tried == [(0, 20), (0, 10), (0, 5), *((at, at + 2) for at in range(0, 20, 2))]


def test_memory_is_given_back_before_the_second_try(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first try held must be gone, or the second has no more room than it had."""
    alive: list[int] = []
    held: list[weakref.ref[Any]] = []

    class Buffer:
        pass

    def work(start: int, stop: int) -> None:
        buffer = Buffer()
        held.append(weakref.ref(buffer))
        if stop - start > 1:
            raise torch.OutOfMemoryError

    def empty_cache() -> None:
        alive.append(sum(one() is not None for one in held))

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    gc.disable()
    try:
        module.Memory(None, rapids=True).batched("a test", 4, 1, work)
    finally:
        gc.enable()
    assert alive == [0, 0]


@in_any_words
def test_a_single_row_that_does_not_fit(module: Any, error: Exception) -> None:
    def work(start: int, stop: int) -> None:
        if stop > 7:
            raise error

    with pytest.raises(UserError) as refusal:
        module.Memory(3 << 29, rapids=True).batched("a test", 20, 1, work)
    assert sentence(refusal.value) == SENTENCE.format("1.5 GB", "a test")
    assert refusal.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"),
        ValueError("out of memory"),
        UserError("out of memory"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_pass(module: Any, error: BaseException) -> None:
    tried = []

    def work(start: int, stop: int) -> None:
        tried.append((start, stop))
        raise error

    assert not module.out_of_memory(error)
    with pytest.raises(type(error)) as passed:
        module.Memory(None, rapids=True).batched("a test", 20, 1, work)
    assert passed.value is error
    assert tried == [(0, 20)]


@in_any_words
def test_a_lack_of_memory_is_known_in_any_words(module: Any, error: Exception) -> None:
    assert module.out_of_memory(error)


# -- primitives in batches ---------------------------------------------------------------------

by_name = pytest.mark.parametrize("primitive", NAMES, ids=lambda primitive: primitive.__name__)


@pytest.fixture
def products_in_order(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAS may sum a row in another order where there are more rows beside it."""

    def times(left: Ndarray, right: Ndarray, out: Ndarray | None = None) -> Any:
        a, b = host_of(left), host_of(right)
        found = sum(a[:, at, None] * b[at] for at in range(len(b)))
        if out is None:
            return wrap(found)
        host_of(out)[...] = found
        return out

    monkeypatch.setattr(Ndarray, "__matmul__", times)
    monkeypatch.setattr(module.cp, "matmul", times)


def same(one: Found, other: Found) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("rows", [1, 7])
@by_name
def test_small_batches_change_nothing(
    card: Engine, module: Any, monkeypatch: pytest.MonkeyPatch, primitive: Primitive, rows: int
) -> None:
    wanted = primitive(card)
    monkeypatch.setattr(module.Memory, "rows", lambda memory, row_bytes: rows)
    assert same(primitive(card), wanted)


class Limit(int):
    """A largest allocation that holds while a batch is worked on, and counts what it refused."""

    def inside(self, stage: Stage, module: Any, patch: pytest.MonkeyPatch) -> list[int]:
        batched = module.Memory.batched
        refused_at: list[int] = []

        def tight(memory: Any, what: str, n: int, row_bytes: int, work: Any) -> None:
            def limited(start: int, stop: int) -> None:
                stage.largest_allocation = self
                try:
                    work(start, stop)
                except Exception:  # each library has its own for a lack of memory; it goes on
                    refused_at.append(stop - start)
                    raise
                finally:
                    stage.largest_allocation = None

            batched(memory, what, n, row_bytes, limited)

        patch.setattr(module.Memory, "batched", tight)
        return refused_at


@pytest.mark.usefixtures("products_in_order")
@by_name
def test_any_limit_changes_nothing_or_is_told(
    stage: Stage, card: Engine, module: Any, primitive: Primitive
) -> None:
    """From a limit that everything keeps to one that a single row does not."""
    wanted = primitive(card)
    outcomes = []
    for limit in (2**power for power in range(15, 2, -1)):
        with pytest.MonkeyPatch.context() as patch:
            refusals = Limit(limit).inside(stage, module, patch)
            try:
                assert same(primitive(card), wanted)
                outcomes.append("in halves" if refusals else "whole")
            except UserError as error:
                outcomes.append(sentence(error) if refusals[-1] == 1 else "told too early")
    ways = ["whole", "in halves", SENTENCE.format("71.1 GB", NAMES[primitive])]
    assert list(dict.fromkeys(outcomes)) == ways


class Nth(Limit):
    """A limit that one allocation exceeds, whatever its size: the n-th."""

    left: int

    def __lt__(self, size: object) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.usefixtures("products_in_order")
@by_name
def test_broken_off_anywhere_and_repeated(
    stage: Stage, card: Engine, module: Any, primitive: Primitive
) -> None:
    wanted = primitive(card)
    for place in range(1, 500):
        with pytest.MonkeyPatch.context() as patch:
            limit = Nth(1)
            limit.left = place
            refusals = limit.inside(stage, module, patch)
            assert same(primitive(card), wanted), place
        if not refusals:
            break
    assert 4 < place < 499


@pytest.mark.parametrize(
    ("primitive", "limit"),
    [
        (nearest, 5000),
        (top_k, 5000),
        (product, 15_000),
        (segment_counts, 5500),
        (soft_allocate, 2000),
    ],
)
def test_a_limit_for_results_too(
    stage: Stage, card: Engine, monkeypatch: pytest.MonkeyPatch, primitive: Primitive, limit: int
) -> None:
    """There is room for what goes in and comes out, not for all that is needed between."""
    wanted = primitive(card)
    monkeypatch.setattr(stage, "largest_allocation", limit)
    assert same(primitive(card), wanted)


def test_a_budget_changes_the_batches_and_no_result() -> None:
    """Of so many tracks, 2.5 gigabytes take the counts of ten segments at once."""
    rows, found = [], []
    columns = np.random.default_rng(0).permutation(1_200_000)[:400].astype(np.int32)
    for budget in (None, 5 << 29):
        with rehearsed(total_memory=24 << 30):
            card: Any = choose("cuda", budget)[0]
            users = card.asarray((np.arange(400) % 20).astype(np.int32))
            once = card.asarray(np.ones(400, np.float32))
            matrix = card.csr(users, card.asarray(columns), once, (20, 1_200_000))
            rows.append(card._memory.rows(13 * matrix.shape[1]))
            found.append(to_host(card, card.segment_counts(users[:20] % 12, matrix, 12)))
    assert rows[1] == 10
    assert rows[0] > 12
    assert same(*found)
