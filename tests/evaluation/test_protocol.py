"""Means, deviations over parts and bootstrap intervals."""

from __future__ import annotations

import json
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.measures import MEASURES
from gpu_coldstart.evaluation.protocol import (
    Place,
    Protocol,
    Row,
    Sample,
    Summary,
    interval,
    resampled_means,
)


def summarise(protocol: Protocol, values: HostArray) -> Summary:
    """The summary of one series [users]."""
    sample = Sample((Place("s", "a", 5, "ndcg"),), values[None], protocol.resample(values[None]))
    return protocol.summaries(sample)[0]


def only(users: int, *ones: int) -> HostArray:
    """1 for some users and 0 for the others."""
    values = np.zeros(users)
    values[list(ones)] = 1
    return values


def deviation(means: list[float]) -> float:
    middle = sum(means) / len(means)
    return float((sum((m - middle) ** 2 for m in means) / (len(means) - 1)) ** 0.5)


def parts_of(protocol: Protocol, users: int, folds: int) -> list[set[int]]:
    """Which users share a part, told from the deviations alone: a part counts double."""
    size = users // folds
    together = deviation([2 / size] + [0.0] * (folds - 1))
    parts: list[set[int]] = []
    for user in range(users):
        home = [
            part
            for part in parts
            if abs(summarise(protocol, only(users, user, min(part))).std - together) < 1e-9
        ]
        assert len(home) < 2
        if home:
            home[0].add(user)
        else:
            parts.append({user})
    return parts


def test_parts_are_disjoint_equal_and_random() -> None:
    found = [parts_of(Protocol(20, folds=5, bootstrap=1, seed=seed), 20, 5) for seed in (0, 0, 1)]
    assert [len(part) for part in found[0]] == [4] * 5
    assert found[0] == found[1]
    assert found[0] != found[2]
    runs = [set(range(start, start + 4)) for start in range(0, 20, 4)]
    assert found[0] != runs


def test_std_is_of_the_means_over_parts() -> None:
    protocol = Protocol(20, folds=5, bootstrap=10, seed=3)
    parts = parts_of(protocol, 20, 5)
    values = np.random.default_rng(0).random(20)
    means = [float(np.mean([values[user] for user in part])) for part in parts]
    found = summarise(protocol, values)
    assert_allclose(found.std, deviation(means), rtol=1e-9)
    assert_allclose(found.mean, values.sum() / 20, rtol=1e-12)


def test_parts_of_unequal_size_weigh_the_same() -> None:
    # 7 users in 3 parts of 3, 2 and 2: the mean of a lone 1 is 1/3 or 1/2.
    protocol = Protocol(7, folds=3, bootstrap=1, seed=0)
    stds = sorted(round(summarise(protocol, only(7, user)).std, 9) for user in range(7))
    thirds, halves = (round(deviation([1 / size, 0.0, 0.0]), 9) for size in (3, 2))
    assert stds == [thirds] * 3 + [halves] * 4


def test_more_parts_than_users() -> None:
    found = summarise(Protocol(3, folds=10, bootstrap=5, seed=0), np.array([0.0, 0.5, 1.0]))
    assert_allclose(found.std, 0.5)
    lone = summarise(Protocol(1, folds=10, bootstrap=5, seed=0), np.array([0.25]))
    assert (lone.mean, lone.std, lone.low, lone.high) == (0.25, 0.0, 0.25, 0.25)


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    users = 400
    values = np.random.default_rng(1).exponential(size=users)
    found = summarise(Protocol(users, folds=10, bootstrap=4000, seed=0), values)
    half = 1.96 * values.std() / users**0.5
    assert_allclose(found.low, values.mean() - half, atol=0.15 * half)
    assert_allclose(found.high, values.mean() + half, atol=0.15 * half)
    assert found.low < found.mean < found.high


def test_bootstrap_draws_with_replacement() -> None:
    # The mean of two users with 0 and 1 is 0, 1/2 or 1; without replacement it would be 1/2.
    found = summarise(Protocol(2, folds=2, bootstrap=300, seed=0), np.array([0.0, 1.0]))
    assert (found.low, found.high) == (0.0, 1.0)


def test_resamples_are_paired() -> None:
    values = np.random.default_rng(1).random(30)
    protocol = Protocol(30, folds=3, bootstrap=50, seed=0)
    one, shifted, again = (summarise(protocol, v) for v in (values, values + 2, values))
    assert one == again
    for name in ("mean", "low", "high"):
        assert_allclose(getattr(shifted, name), getattr(one, name) + 2, rtol=1e-12)
    assert_allclose(shifted.std, one.std, rtol=1e-9)
    other = summarise(Protocol(30, folds=3, bootstrap=50, seed=1), values)
    assert (other.low, other.high) != (one.low, one.high)


def test_row() -> None:
    random = np.random.default_rng(0)
    values = random.random((1, 3, 20))
    protocol = Protocol(20, folds=10, bootstrap=20, seed=0)
    (row,) = protocol.rows(protocol.sample({("tt-svd", "semi"): values}, [50]))
    assert isinstance(row, Row)
    assert (row.space, row.strategy, row.k, row.users) == ("tt-svd", "semi", 50, 20)
    flat = json.loads(json.dumps(row.flat()))
    assert list(flat)[:4] == ["space", "strategy", "k", "users"]
    for name, series in zip(MEASURES, values[0], strict=True):
        summary: Summary = getattr(row, name)
        assert_allclose(astuple(summary), astuple(summarise(protocol, series)), rtol=1e-12)
        assert flat[name] == summary.mean
        assert flat[f"{name}_std"] == summary.std
        assert flat[f"{name}_ci95"] == [summary.low, summary.high]
    assert all(getattr(row, a) != getattr(row, b) for a, b in combinations(MEASURES, 2))


def test_repeated_parts_are_two_cuts_into_five() -> None:
    """Each user is once in each cut: alone in a part of 4, they weigh 1/4 in two of ten means."""
    protocol = Protocol(20, folds=3, bootstrap=1, seed=0, deviation="repeated")
    stds = {round(summarise(protocol, only(20, user)).std, 12) for user in range(20)}
    assert stds == {round(deviation([1 / 4] * 2 + [0.0] * 8), 12)}
    # Two users share a part in both cuts, in one or in neither, as chance has it.
    pairs = {
        round(summarise(protocol, only(20, *pair)).std, 12) for pair in combinations(range(20), 2)
    }
    together, once, never = (
        round(deviation([2 / 4] * n + [1 / 4] * (4 - 2 * n) + [0.0] * (6 + n)), 12)
        for n in (2, 1, 0)
    )
    assert {once, never} <= pairs <= {together, once, never}


def test_repeated_leaves_folds_aside_and_moves_no_interval() -> None:
    values = np.random.default_rng(1).random(50)
    one, other = (
        summarise(Protocol(50, folds=folds, bootstrap=30, seed=0, deviation="repeated"), values)
        for folds in (2, 10)
    )
    assert one == other
    disjoint = summarise(Protocol(50, folds=10, bootstrap=30, seed=0), values)
    assert (one.mean, one.low, one.high) == (disjoint.mean, disjoint.low, disjoint.high)
    assert one.std != disjoint.std


def test_repeated_with_fewer_users_than_parts() -> None:
    found = Protocol(2, folds=10, bootstrap=5, seed=0, deviation="repeated")
    assert_allclose(summarise(found, np.array([0.0, 1.0])).std, deviation([0.0, 1.0] * 2))


def test_resamples_are_drawn_one_after_the_other() -> None:
    values = np.random.default_rng(2).random((7, 90))
    protocol = Protocol(90, folds=10, bootstrap=40, seed=5)
    found = protocol.resample(values)
    generator = np.random.default_rng((5, 1))
    drawn = [generator.integers(90, size=90) for _ in range(40)]
    wanted = [[series[users].mean() for users in drawn] for series in values]
    assert_allclose(found, wanted, rtol=1e-12)


def test_many_users_are_resampled_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((2, 90))
    whole = resampled_means(values, 25, (1, 2))
    for entries in (90, 1, 700):
        monkeypatch.setattr("gpu_coldstart.evaluation.protocol._ENTRIES", entries)
        assert_allclose(resampled_means(values, 25, (1, 2)), whole, rtol=1e-12)


def test_interval_is_cut_at_both_ends() -> None:
    means = np.random.default_rng(0).permutation(np.arange(2001.0)).reshape(1, -1)
    low, high = interval(means)
    assert (low.tolist(), high.tolist()) == ([50.0], [1950.0])


def test_interval_covers_the_true_mean() -> None:
    """95 % of the time, or little less, as the percentile bootstrap does with few skewed users."""
    covered = 0
    for seed in range(400):
        values = np.random.default_rng((seed, 9)).exponential(size=100)
        found = summarise(Protocol(100, folds=10, bootstrap=250, seed=seed), values)
        covered += found.low <= 1 <= found.high
    assert 0.90 < covered / 400 < 0.98


def test_rows_are_those_of_each_strategy_alone() -> None:
    random = np.random.default_rng(0)
    measures = {(a, b): random.random((2, 3, 20)) for a in ("tt-svd", "ut-als") for b in "xyz"}
    protocol = Protocol(20, folds=10, bootstrap=20, seed=0)
    sample = protocol.sample(measures, (5, 10))
    assert sample.places[:4] == (
        *(Place("tt-svd", "x", 5, measure) for measure in MEASURES),
        Place("tt-svd", "x", 10, "precision"),
    )
    assert (sample.values.shape, sample.means.shape) == ((36, 20), (36, 20))
    rows = protocol.rows(sample)
    alone = [
        Row(*place, k, 20, *(summarise(protocol, series) for series in values[i]))
        for place, values in measures.items()
        for i, k in enumerate((5, 10))
    ]
    for row, wanted in zip(rows, alone, strict=True):
        assert astuple(row)[:4] == astuple(wanted)[:4]
        # Sums of other series at once may round differently.
        assert_allclose(astuple(row)[4:], astuple(wanted)[4:], rtol=1e-12)
