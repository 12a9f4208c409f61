"""Quality by segment against means and deviations of plain Python."""

from __future__ import annotations

from statistics import mean, stdev

import numpy as np
import pytest

from gpu_coldstart.evaluation.groups import SMALLER
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol
from gpu_coldstart.evaluation.segment_quality import segment_quality


def test_means_and_intervals_of_each_segment_and_of_the_small_ones_together() -> None:
    random = np.random.default_rng(0)
    nearest = random.permutation(np.repeat([0, 1, 2, 3], [25, 2, 1, 20]))
    values = {("s", name): random.random((2, 3, 48)) for name in "ab"}
    sample = Protocol(48, folds=2, bootstrap=2, seed=0).sample(values, (5, 10))
    known = ["none", "few", "one", "many", "nobody"]
    rows = list(segment_quality(sample, {"s": nearest}, {"s": known}))
    assert [(row["strategy"], row["segment"]) for row in rows] == [
        (name, segment) for name in "ab" for segment in (0, 3, None)
    ]
    for row in rows:
        inside = [
            s == row["segment"] if row["segment"] is not None else s in (1, 2) for s in nearest
        ]
        ndcg = values["s", row["strategy"]][1, MEASURES.index("ndcg")]
        mine = [float(v) for v, one in zip(ndcg, inside, strict=True) if one]
        error = 1.96 * stdev(mine) / len(mine) ** 0.5
        assert (row["k"], row["users"]) == (10, len(mine))
        assert row["description"] == (SMALLER if row["segment"] is None else known[row["segment"]])
        wanted = [mean(mine), mean(mine) - error, mean(mine) + error]
        assert [row["mean"], row["low"], row["high"]] == pytest.approx(wanted)


def test_a_single_user_has_no_interval() -> None:
    sample = Protocol(1, folds=2, bootstrap=2, seed=0).sample(
        {("s", "a"): np.ones((1, 3, 1))}, (5,)
    )
    (row,) = segment_quality(sample, {"s": np.array([1])}, {"s": ["x", "y"]})
    assert (row["segment"], row["mean"], row["low"], row["high"]) == (1, 1.0, None, None)
