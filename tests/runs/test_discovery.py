"""A run with Best says what more discovery costs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pytest

from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.runs.artifacts import decode
from gpu_coldstart.strategies.best import Blend
from tests.runs.helpers import Tables, command, events, learned, synthetic, write
from tests.runs.test_analysis import chosen, table

BEST = ("--space", "tt-svd", "--strategies", "best")
STATE = "artifacts/tt-svd/best.state.safetensors"


def test_what_discovery_costs_is_told(tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = (*events(write(tables, tmp_path / "data"), evaluation__figures="true"), *BEST)
    assert command(*options, "--out", out).status == 0
    made = decode(CpuEngine(), learned(out)[STATE], Blend).trade_off
    rows = table(out, "discovery")
    assert {(row["space"], row["strategy"]) for row in rows} == {("tt-svd", "best")}
    users = tables["users"].filter(pc.equal(tables["users"]["split"], "validation"))
    countries = Counter(users["country"].drop_null().to_pylist())
    assert len(made.users) == len(users)
    for dial, tracks, ndcg in zip(made.dials, made.tracks, made.ndcg, strict=True):
        everybody, *by_country = chosen(rows, discovery=dial)
        assert {row["country"]: row["users"] for row in by_country} == countries
        assert everybody["ndcg"] == pytest.approx(float(ndcg.mean()))
        assert everybody["mean"] == pytest.approx(float(tracks.mean()) + 1)
        assert everybody["k"] == tracks.shape[1]
        assert everybody["users"] == len(users)
    ranks = [row["p50"] for row in chosen(rows, country="all")]
    assert ranks[0] < ranks[-1]
    page = (out / "report.html").read_text("utf-8")
    assert "discovery-table" in page
    assert "figure-discovery" in page


def test_the_dial_learns_nothing_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command(*synthetic(), *BEST, "--out", out).status == 0
    before = (out / STATE).stat().st_mtime_ns
    turned = ("--set", "strategies.best_discovery=1.0", "--resume")
    result = command(*synthetic(), *BEST, "--out", out, *turned)
    assert result.status == 0, result.err
    assert (out / STATE).stat().st_mtime_ns == before
