"""How kernels are launched, in a rehearsal: what the tests on a card rely on when they vary it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.engine import Engine, choose
from tests.rehearsal.cupy_cuda import RawFunction
from tests.rehearsal.install import Stage
from tests.worlds import sparse


def row_top(card: Engine) -> Any:
    return card.row_top(sparse(card, np.ones((40, 7), np.float32)), 3)


def soft_allocate(card: Engine) -> Any:
    segments = card.asarray(np.tile(np.arange(2, dtype=np.int32), (40, 1)))
    weights = card.asarray(np.full((40, 2), 0.5, np.float32))
    shares = sparse(card, np.full((4, 50), 0.25, np.float32))
    return card.soft_allocate(segments, weights, shares, 6, 2)


@pytest.mark.parametrize("primitive", [row_top, soft_allocate])
def test_the_limit_of_a_grid_is_looked_up_at_each_launch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, primitive: Callable[[Engine], Any]
) -> None:
    """A limit that a test sets must reach kernels that have one of their own, too."""
    grids: list[int] = []
    launch = RawFunction.__call__

    def noting(function: RawFunction, grid: Any, *arguments: Any, **keywords: Any) -> None:
        grids.append(grid[0])
        launch(function, grid, *arguments, **keywords)

    card = choose("cuda")[0]
    monkeypatch.setattr(RawFunction, "__call__", noting)
    primitive(card)
    assert max(grids) > 5
    grids.clear()
    kernels = importlib.import_module("gpu_coldstart.engine.cuda.kernels")
    monkeypatch.setattr(kernels, "_MOST_BLOCKS", 5)
    primitive(card)
    assert max(grids) == 5


@pytest.mark.parametrize(
    ("d", "tiles", "per_lane"),
    [(1, 1, 4), (128, 1, 4), (158, 1, 5), (256, 1, 8), (257, 2, 5), (512, 2, 8)],
)
def test_tiles_of_pooling_are_nearly_full(stage: Stage, d: int, tiles: int, per_lane: int) -> None:
    card: Any = choose("cuda")[0]
    table = np.random.default_rng(d).integers(1, 5, (9, d)).astype(np.float32)
    found = card.pool(sparse(card, np.ones((3, 9), np.float32)), card.asarray(table))
    assert_allclose(found.get(), np.tile(table.mean(axis=0), (3, 1)), rtol=1e-6)
    kernel, cut_into = importlib.import_module("gpu_coldstart.engine.cuda.sparse").pooling(d)
    assert cut_into == tiles
    assert kernel is card_kernel("pool", PER_LANE=per_lane)


def card_kernel(file: str, **macros: int) -> Any:
    return importlib.import_module("gpu_coldstart.engine.cuda.kernels").kernel(file, **macros)
