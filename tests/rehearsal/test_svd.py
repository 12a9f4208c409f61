"""The CUDA engine's SVD in a rehearsal: its quick QR decomposition, and where that will not do."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.engine import choose
from gpu_coldstart.engine.base import HostArray, SvdOptions
from tests.rehearsal.install import Stage
from tests.worlds import sparse


def with_condition(condition: float, rows: int = 400, columns: int = 12) -> HostArray:
    """A table whose singular values fall evenly to 1 / condition."""
    random = np.random.default_rng(0)
    left = np.linalg.qr(random.normal(size=(rows, columns)))[0]
    right = np.linalg.qr(random.normal(size=(columns, columns)))[0]
    table: HostArray = (left * np.geomspace(1, 1 / condition, columns)) @ right.T
    return table.astype(np.float32)


def short_of_rank() -> HostArray:
    table = with_condition(10)
    table[:, 7:] = table[:, :1]
    return table


TABLES = {
    "good": (with_condition(2), False),
    "like a sketch": (with_condition(1e4), False),
    "square": (with_condition(10, 12), False),
    "bad": (with_condition(1e9), True),
    "short of rank": (short_of_rank(), True),
    "nothing": (np.zeros((400, 12), np.float32), True),
}
"""A table, and whether it takes Householder's method."""


@pytest.mark.parametrize("name", TABLES)
def test_qr(stage: Stage, cp: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    table, slow = TABLES[name]
    slowly: list[Any] = []
    householder = cp.linalg.qr

    def noted(a: Any) -> Any:
        slowly.append(a)
        return householder(a)

    monkeypatch.setattr(cp.linalg, "qr", noted)
    spaces = importlib.import_module("gpu_coldstart.engine.cuda.spaces")
    q, r = (part.get() for part in spaces._qr(cp.asarray(table)))
    assert bool(slowly) == slow
    assert {q.dtype, r.dtype} == {np.dtype(np.float32)}
    assert_allclose(q.T @ q, np.eye(12), atol=2e-6)
    assert_allclose(q @ r, table, atol=2e-6)
    assert_allclose(r, np.triu(r))


def test_svd_makes_no_householder_reflections(
    stage: Stage, cp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    table = ((random.random((300, 300)) < 0.1) * random.random((300, 300))).astype(np.float32)
    card = choose("cuda")[0]
    monkeypatch.delattr(cp.linalg, "qr")
    found = card.svd(
        sparse(card, table), SvdOptions(rank=20, oversamples=10, power_iterations=3, seed=0)
    )
    u, s, vt = (card.to_host(part) for part in (found.u, found.s, found.vt))
    assert_allclose(u.T @ u, np.eye(20), atol=1e-5)
    assert_allclose(vt @ vt.T, np.eye(20), atol=1e-5)
    exact = np.linalg.svd(table, compute_uv=False)
    assert np.linalg.norm(table - (u * s) @ vt) < 1.02 * np.linalg.norm(exact[20:])


@pytest.mark.parametrize("rank", [3, 5])
def test_svd_of_a_matrix_short_of_rank(stage: Stage, rank: int) -> None:
    """Three blocks of ones: rank three, whatever is asked for."""
    table = np.kron(np.eye(3), np.ones((20, 20))).astype(np.float32)
    card = choose("cuda")[0]
    found = card.svd(
        sparse(card, table), SvdOptions(rank=rank, oversamples=6, power_iterations=2, seed=0)
    )
    u, s, vt = (card.to_host(part) for part in (found.u, found.s, found.vt))
    assert_allclose(s, [20] * 3 + [0] * (rank - 3), atol=1e-4)
    assert_allclose((u * s) @ vt, table, atol=1e-4)
    assert_allclose(u.T @ u, np.eye(rank), atol=1e-5)
