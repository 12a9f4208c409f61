"""Popularity, spread and novelty of what is recommended."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.exposure import exposure, gini, novelty, ranks_of
from gpu_coldstart.evaluation.groups import EVERYWHERE

counts = st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any)


def percentile(values: list[int], p: float) -> float:
    """By linear interpolation between the ordered values."""
    ordered = sorted(values)
    place = p / 100 * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def test_ranks_are_places_in_the_chart() -> None:
    track_ids = np.array([7, -3, 2**62, 0, 11])
    recommended = np.array([[0, 7], [2**62, -3]])
    assert ranks_of(recommended, track_ids).tolist() == [[4, 1], [3, 2]]


# -- Gini --------------------------------------------------------------------------------------


@given(counts)
def test_gini_is_half_the_relative_mean_difference(values: list[int]) -> None:
    n = len(values)
    difference = sum(abs(a - b) for a, b in product(values, repeat=2)) / n**2
    found = gini(np.array(values))
    assert_allclose(found, difference / (2 * sum(values) / n), atol=1e-12)
    assert -1e-12 <= found <= 1 - 1 / n + 1e-12


@given(counts, st.integers(2, 9))
def test_gini_does_not_depend_on_scale_or_order(values: list[int], times: int) -> None:
    found = gini(np.array(values))
    assert_allclose(gini(times * np.array(values)), found, atol=1e-12)
    assert_allclose(gini(np.array(values[::-1])), found, atol=1e-12)


def test_gini_of_extremes() -> None:
    assert gini(np.full(9, 4)) == 0
    assert gini(np.array([0] * 9 + [5])) == 0.9
    assert gini(np.zeros(3, int)) == 0


# -- novelty -----------------------------------------------------------------------------------


def test_novelty_in_bits() -> None:
    popularity = np.array([7, 3, 0])
    assert novelty(np.array([5, 0, 0]), popularity, 7) == 0  # everybody knows it
    assert novelty(np.array([0, 2, 0]), popularity, 7) == 1  # half of them, one added
    assert novelty(np.array([0, 0, 1]), popularity, 7) == 3  # nobody, and yet finite
    assert novelty(np.array([1, 1, 2]), popularity, 7) == (0 + 1 + 3 + 3) / 4


# -- the table ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranks() -> HostArray:
    """Recommended ranks of 40 users among 9000 tracks, three each."""
    random = np.random.default_rng(0)
    found = np.array([random.choice(9000, 3, replace=False) + 1 for _ in range(40)])
    found[:, 0] = np.arange(1, 41)
    return found


def test_naively_the_same(ranks: HostArray) -> None:
    popularity = np.arange(9000, 0, -1) // 10
    codes = np.arange(40) % 4 - 1
    rows = list(exposure(ranks, popularity, 1000, (codes, ("DE", "FR", "BR"))))
    assert [row["country"] for row in rows] == [EVERYWHERE, "BR", "DE", "FR"]
    for row in rows:
        code = ("DE", "FR", "BR", EVERYWHERE).index(row["country"])
        users = [u for u in range(40) if code == 3 or codes[u] == code]
        flat = [int(rank) for user in users for rank in ranks[user]]
        assert row["users"] == len(users)
        for p in (5, 25, 50, 75, 95):
            assert_allclose(row[f"p{p}"], percentile(flat, p))
        assert_allclose(row["mean"], sum(flat) / len(flat))
        for top in (100, 1000, 5000):
            assert_allclose(row[f"share_top_{top}"], sum(r <= top for r in flat) / len(flat))
    flat = ranks.ravel().tolist()
    assert rows[0]["coverage"] == len(set(flat)) / 9000
    times = [flat.count(track + 1) for track in range(9000)]
    ordered = sorted(times)
    lorenz = sum((9000 - i) * x for i, x in enumerate(ordered)) / sum(times)
    assert_allclose(rows[0]["gini"], (9000 + 1 - 2 * lorenz) / 9000)
    bits = [-math.log2((popularity[rank - 1] + 1) / 1001) for rank in flat]
    assert_allclose(rows[0]["novelty"], sum(bits) / len(bits))
    assert all(row[name] is None for row in rows[1:] for name in ("coverage", "gini", "novelty"))


def test_no_countries(ranks: HostArray) -> None:
    rows = list(exposure(ranks, np.ones(9000, int), 5, (np.full(40, -1), ())))
    assert [row["country"] for row in rows] == [EVERYWHERE]


def test_ten_countries_at_most(ranks: HostArray) -> None:
    names = tuple(f"C{i:02}" for i in range(12))
    codes = np.r_[np.arange(12), np.arange(12), np.full(16, 11)]
    rows = list(exposure(ranks, np.ones(9000, int), 5, (codes, names)))
    assert [row["country"] for row in rows] == [EVERYWHERE, "C11", *names[:9]]


def test_the_same_list_for_all_is_as_uneven_as_can_be() -> None:
    ranks = np.tile(np.arange(1, 4), (5, 1))
    (row,) = exposure(ranks, np.array([9, 5, 5, 0]), 9, (np.full(5, -1), ()))
    assert (row["coverage"], row["gini"]) == (0.75, 0.25)
    assert (row["p5"], row["p50"], row["p95"], row["share_top_100"]) == (1, 2, 3, 1)
