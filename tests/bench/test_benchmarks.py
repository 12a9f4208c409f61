"""Benchmarks at a tiny scale: contenders run and agree, and who does not is noticed.

Rivals take part where they are installed; ``make bench-test`` has all benchmarks with all of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from bench.benchmarks import ALL, als, kmeans, pmi_svd
from bench.cases import Case, Setting
from bench.data import world_of
from bench.harness import run, verdict
from gpu_coldstart.datasets import tafeng
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.errors import UserError

SCALE = 0.002
_WHOLE = {"flow", "growth"}
_ON_TAFENG = {name for name in ALL if name.endswith("-tafeng")}
_SLOW_TO_REHEARSE = {
    "pmi-svd",
    "als-128",
    "als-256",
    "cml",
    "kmeans",
    "features",
    "mlp",
    "mlp-bfloat16",
} | _ON_TAFENG


@cache
def setting_of(engine: Engine) -> Setting:
    """One world for all tests on an engine."""
    return Setting(engine, SCALE, threads=1)


@cache
def prepared(name: str) -> Case:
    return ALL[name].prepare(setting_of(choose_cpu()))


@cache
def choose_cpu() -> Engine:
    return choose("cpu")[0]


@pytest.mark.parametrize("name", ["assign", "events", "popularity", "top-50"])
def test_all_contenders_agree(name: str) -> None:
    result = run(ALL[name], setting_of(choose_cpu()), rounds=1, limit=60)
    assert not result.skipped
    assert result.outcomes[0].ours
    assert result.items in result.sizes
    for one in result.outcomes:
        assert one.status in {"ran", "missing", "left out"}, one.reason
        assert (one.status == "ran") == bool(one.seconds)
        if one.seconds:
            assert one.verdict in {"equal", "better", "worse"}
            assert all(np.isfinite(value) for value in one.quality.values())
    # Scikit-learn and PyTorch are always there, so somebody was compared with ours.
    assert len([one for one in result.outcomes if one.seconds]) >= 2


def test_tables_hold_the_world_and_no_other(tmp_path: Path) -> None:
    world = generate(world_of(SCALE), seed=0)
    for name, table in world.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    read = replace(setting_of(choose_cpu()), tables=tmp_path)
    events = read.data.tables["interactions"]
    assert isinstance(events, pa.Table)
    assert events.equals(world["interactions"])
    assert read.smaller().tables is None
    with pytest.raises(UserError, match="where this scale has"):
        _ = replace(read, scale=0.1).data.tables


def test_on_tafeng_the_work_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = setting_of(choose_cpu()).data.tables
    monkeypatch.setattr(tafeng, "source", lambda: world)
    names = sorted(_ON_TAFENG)
    assert names == sorted(
        f"{name}-tafeng"
        for name in ("events", "pmi-svd", "als-128", "kmeans", "popularity", "features")
    )
    events, plain = (
        ALL[name].prepare(setting_of(choose_cpu())) for name in ("events-tafeng", "events")
    )
    assert events.sizes == plain.sizes
    assert Setting(choose_cpu(), SCALE, threads=1).on_tafeng.data.config.dataset == "tafeng"


def test_without_tafeng_its_benchmarks_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise UserError("Ta-Feng is not here: get it")

    monkeypatch.setattr(tafeng, "source", missing)
    setting = Setting(choose_cpu(), SCALE, threads=1)
    for name in sorted(_ON_TAFENG):
        result = run(ALL[name], setting, rounds=1, limit=60)
        assert result.skipped == "Ta-Feng is not here: get it"


@pytest.mark.parametrize("name", sorted(ALL.keys() - _WHOLE - _SLOW_TO_REHEARSE))
def test_ours_runs_on_every_engine(engine: Engine, name: str) -> None:
    result = run(ALL[name], setting_of(engine), rounds=1, limit=60, ours_only=True)
    assert [(one.status, one.reason) for one in result.outcomes] == [("ran", "")]


def test_growth_runs_the_flow_and_tells_its_stages() -> None:
    def two(setting: Setting) -> Case:
        case = ALL["growth"].prepare(setting)
        return replace(case, contenders=[case.contenders[0], case.contenders[4]])

    made = replace(ALL["growth"], prepare=two)
    base, grown = run(made, setting_of(choose_cpu()), rounds=1, limit=60).outcomes
    assert (base.status, grown.status, base.reason) == ("ran", "ran", "")
    assert {"logs", "tt-svd/space", "tt-svd/network", "tt-svd/semi"} <= base.parts[0].keys()
    assert base.seconds[0] >= sum(base.parts[0].values())


def test_growth_multiplies_one_thing_at_a_time() -> None:
    base = world_of(0.25)
    names = [
        one.name
        for one in ALL["growth"].prepare(replace(setting_of(choose_cpu()), scale=1)).contenders
    ]
    assert names == [
        "1x",
        "2x users",
        "4x users",
        "2x events",
        "4x events",
        "2x tracks",
        "4x tracks",
    ]
    assert base.n_warm * 4 == world_of(1.0).n_warm == 70_000


_WRONG: dict[str, Any] = {
    "events": lambda m: sp.csr_array(
        (m.data + (np.arange(m.nnz) == 3), m.indices, m.indptr), m.shape
    ),
    "popularity": lambda r: (np.roll(r[0], 1, axis=1), r[1]),
    "features": lambda batch: batch + 1e-3,
    "assign": lambda r: (r[0][::-1], r[1]),
    "top-50": lambda r: (r[0], r[1] * 1.01),
    "metrics": lambda found: found * 1.001,
    "pmi-svd": lambda r: (sp.csr_array(r[0][:5]), r[1]),
}


@pytest.mark.parametrize("name", sorted(_WRONG))
def test_a_wrong_result_is_noticed(name: str) -> None:
    case = prepared(name)
    ours = case.contenders[0].common(case.contenders[0].start()())
    right = case.quality(ours, ours)
    assert verdict(case.rules, right, right) == "equal"
    assert verdict(case.rules, case.quality(_WRONG[name](ours), ours), right) == "differs"


def sparse(rng: np.random.Generator, shape: tuple[int, int]) -> sp.csr_array:
    """A matrix of which about a third is stored."""
    return sp.csr_array((rng.random(shape) * (rng.random(shape) < 0.3)).astype(np.float32))


def test_the_residual_is_that_of_the_dense_matrix() -> None:
    rng = np.random.default_rng(0)
    matrix = sparse(rng, (20, 30))
    u, s, vt = rng.random((20, 4)), rng.random(4), rng.random((4, 30))
    dense = matrix.toarray()
    expected = np.linalg.norm(dense - (u * s) @ vt) / np.linalg.norm(dense)
    assert pmi_svd._residual(matrix, u, s, vt) == pytest.approx(expected, rel=1e-6)


def test_the_objective_is_that_of_the_dense_matrix() -> None:
    rng = np.random.default_rng(0)
    confidence = sp.csr_matrix(sparse(rng, (1100, 12)))
    confidence.data += 1
    x, y = rng.random((1100, 3)), rng.random((12, 3))
    dense = confidence.toarray()
    weights, preferred = np.where(dense > 0, dense, 1.0), dense > 0
    expected = (weights * (preferred - x @ y.T) ** 2).sum() + 0.7 * ((x**2).sum() + (y**2).sum())
    assert als._objective(confidence, x, y, 0.7) == pytest.approx(expected / dense.size, rel=1e-6)


def test_the_inertia_is_that_of_all_distances() -> None:
    rng = np.random.default_rng(0)
    points, centroids = rng.random((50, 3)), rng.random((7, 3))
    squares = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
    expected = squares.min(axis=1).sum()
    assert kmeans._inertia(points, centroids) == pytest.approx(expected)
