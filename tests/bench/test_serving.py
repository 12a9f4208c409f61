"""The script that measures a saved model."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import serving
from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.datasets.synthetic import frames


def test_every_strategy_of_a_bundle_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_USERS", 3)
    names = ["popularity", "soft"]
    model = ColdStart(
        preset="tiny",
        strategies=names,
        engine="cpu",
        mlp={"epochs_tt_svd": 1},
        tt_svd={"dimension": 8},
        segments={"k": 4},
    )
    model.fit(Dataset.from_frames(**frames("tiny"))).save(tmp_path / "bundle")
    measured = serving.serve(tmp_path / "bundle", "tiny", "cpu")
    assert measured["users"] == 3
    assert measured["load_s"] > 0
    assert list(measured["strategies"]) == names
    for figures in measured["strategies"].values():
        one = figures["one_user_ms"]
        assert 0 < one["p50"] <= one["p95"] <= one["p99"]
        assert figures["users_per_s_at_once"] > 0
