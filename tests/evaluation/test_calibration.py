"""Cosines of predictions with where they should land, by group."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.calibration import calibration, cosines, heard
from gpu_coldstart.evaluation.groups import by_count


def cosine(a: HostArray, b: HostArray) -> float:
    product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [sum(float(x) ** 2 for x in one) ** 0.5 for one in (a, b)]
    return product / (lengths[0] * lengths[1]) if all(lengths) else 0.0


@pytest.mark.parametrize("rows", [4096, 7])
def test_cosines(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_coldstart.evaluation.calibration._ROWS", rows)
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 20, 5)).astype(np.float32)
    one[3] = other[4] = 0
    found = cosines(one, other)
    assert found.dtype == np.float64
    assert_allclose(found, [cosine(a, b) for a, b in zip(one, other, strict=True)], atol=1e-12)
    assert found[3] == found[4] == 0


def test_what_was_heard_points_where_the_mean_of_unit_tracks_does() -> None:
    random = np.random.default_rng(1)
    tracks = (10 * random.normal(size=(6, 3))).astype(np.float32)
    tracks[5] = 0
    truth = np.array([[1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0]], float)
    found = heard(sparse.csr_array(truth), tracks)
    unit = np.array([t / max(1e-30, float((t**2).sum()) ** 0.5) for t in tracks.astype(float)])
    assert_allclose(cosines(found, np.array([unit[0] + unit[1]] * 3))[0], 1)
    assert found[1].tolist() == [0, 0, 0]
    assert_allclose(found[2], unit[3], rtol=1e-9)


def test_by_group_in_every_space() -> None:
    counts = np.array([0, 0, 1, 30, 2, 30])
    by_space = {"a": np.linspace(-1, 1, 6), "b": np.full(6, 0.25)}
    grouping = by_count("interactions", counts, "none at all")
    rows = calibration("warm", by_space, grouping, bootstrap=50, seed=0)
    assert [(row["space"], row["group"], row["order"], row["users"]) for row in rows] == [
        (space, *group)
        for space in "ab"
        for group in (("none at all", 0, 2), ("1-2", 1, 2), (">20", 5, 2))
    ]
    assert {row["against"] for row in rows} == {"own embedding (in-sample)"}
    assert_allclose([row["mean"] for row in rows], [-0.8, 0.2, 0.6, 0.25, 0.25, 0.25])
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((-1, -0.6))
    assert all(row["low"] <= row["mean"] <= row["high"] for row in rows[:3])
    assert rows[3] | {"space": ""} == rows[3] | {"space": "", "low": 0.25, "high": 0.25}
    other = calibration("validation", by_space, grouping, bootstrap=50, seed=0)
    assert {row["against"] for row in other} == {"mean of the tracks of the following days"}
