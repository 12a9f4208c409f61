"""Means, deviations over parts and bootstrap intervals."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol, Row


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
            if abs(protocol.summarise(only(users, user, min(part))).std - together) < 1e-9
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
    found = protocol.summarise(values)
    assert_allclose(found.std, deviation(means), rtol=1e-9)
    assert_allclose(found.mean, values.sum() / 20, rtol=1e-12)


def test_parts_of_unequal_size_weigh_the_same() -> None:
    # 7 users in 3 parts of 3, 2 and 2: the mean of a lone 1 is 1/3 or 1/2.
    protocol = Protocol(7, folds=3, bootstrap=1, seed=0)
    stds = sorted(round(protocol.summarise(only(7, user)).std, 9) for user in range(7))
    thirds, halves = (round(deviation([1 / size, 0.0, 0.0]), 9) for size in (3, 2))
    assert stds == [thirds] * 3 + [halves] * 4


def test_more_parts_than_users() -> None:
    found = Protocol(3, folds=10, bootstrap=5, seed=0).summarise(np.array([0.0, 0.5, 1.0]))
    assert_allclose(found.std, 0.5)
    lone = Protocol(1, folds=10, bootstrap=5, seed=0).summarise(np.array([0.25]))
    assert (lone.mean, lone.std, lone.low, lone.high) == (0.25, 0.0, 0.25, 0.25)


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    users = 400
    values = np.random.default_rng(1).exponential(size=users)
    found = Protocol(users, folds=10, bootstrap=4000, seed=0).summarise(values)
    half = 1.96 * values.std() / users**0.5
    assert_allclose(found.low, values.mean() - half, atol=0.15 * half)
    assert_allclose(found.high, values.mean() + half, atol=0.15 * half)
    assert found.low < found.mean < found.high


def test_bootstrap_draws_with_replacement() -> None:
    # The mean of two users with 0 and 1 is 0, 1/2 or 1; without replacement it would be 1/2.
    found = Protocol(2, folds=2, bootstrap=300, seed=0).summarise(np.array([0.0, 1.0]))
    assert (found.low, found.high) == (0.0, 1.0)


def test_resamples_are_paired() -> None:
    values = np.random.default_rng(1).random(30)
    protocol = Protocol(30, folds=3, bootstrap=50, seed=0)
    one, shifted, again = (protocol.summarise(v) for v in (values, values + 2, values))
    assert one == again
    for name in ("mean", "low", "high"):
        assert_allclose(getattr(shifted, name), getattr(one, name) + 2, rtol=1e-12)
    assert_allclose(shifted.std, one.std, rtol=1e-9)
    other = Protocol(30, folds=3, bootstrap=50, seed=1).summarise(values)
    assert (other.low, other.high) != (one.low, one.high)


@pytest.mark.parametrize("bootstrap", [1, 7])
def test_summaries_do_not_depend_on_what_came_before(bootstrap: int) -> None:
    values = np.random.default_rng(1).random((2, 30))
    one = Protocol(30, folds=3, bootstrap=bootstrap, seed=0)
    other = Protocol(30, folds=3, bootstrap=bootstrap, seed=0)
    one.summarise(values[0])
    assert one.summarise(values[1]) == other.summarise(values[1])


def test_row() -> None:
    random = np.random.default_rng(0)
    measures = {name: random.random(20) for name in MEASURES}
    protocol = Protocol(20, folds=10, bootstrap=20, seed=0)
    row = protocol.row("tt-svd", "semi", 50, measures)
    assert isinstance(row, Row)
    assert (row.space, row.strategy, row.k, row.users) == ("tt-svd", "semi", 50, 20)
    flat = json.loads(json.dumps(row.flat()))
    assert list(flat)[:4] == ["space", "strategy", "k", "users"]
    for name in MEASURES:
        summary = protocol.summarise(measures[name])
        assert getattr(row, name) == summary
        assert flat[name] == summary.mean
        assert flat[f"{name}_std"] == summary.std
        assert flat[f"{name}_ci95"] == [summary.low, summary.high]
    assert all(getattr(row, a) != getattr(row, b) for a, b in combinations(MEASURES, 2))
