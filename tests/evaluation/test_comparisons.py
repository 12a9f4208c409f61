"""Pairs of strategies: differences, intervals, tests and Holm's adjustment."""

from __future__ import annotations

from itertools import combinations, compress, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import false_discovery_control, norm, wilcoxon

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.comparisons import bootstrap_p, comparisons, holm, wilcoxon_p
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol, Sample

Row = dict[str, Any]

p_values = st.lists(st.floats(0, 1), max_size=12)


def sampled(
    users: int, *names: str, spaces: int = 1, ks: tuple[int, ...] = (10,), seed: int = 0
) -> Sample:
    """Measures of strategies, whole hits of ten as precision has them."""
    random = np.random.default_rng(seed)
    measures = {
        (f"space {i}", name): random.integers(0, 11, (len(ks), len(MEASURES), users)) / 10
        for i in range(spaces)
        for name in names
    }
    return Protocol(users, folds=10, bootstrap=200, seed=seed).sample(measures, ks)


def values_of(sample: Sample, row: Row, side: str) -> HostArray:
    name = row[f"strategy_{side}"]
    values: HostArray = sample.values[
        [p == (row["space"], name, row["k"], row["measure"]) for p in sample.places].index(True)
    ]
    return values


def test_every_pair_once_in_order() -> None:
    sample = sampled(30, "a", "b", "c", "d", spaces=2, ks=(5, 10))
    found = [
        (row["space"], row["k"], row["measure"], row["strategy_a"], row["strategy_b"])
        for row in comparisons(sample)
    ]
    assert found == [
        (space, k, measure, *pair)
        for space in ("space 0", "space 1")
        for k in (5, 10)
        for measure in MEASURES
        for pair in combinations("abcd", 2)
    ]


def test_one_strategy_has_none_to_compare_with() -> None:
    assert comparisons(sampled(30, "a", spaces=2)) == []


def test_naively_the_same() -> None:
    sample = sampled(40, "a", "b", "c", ks=(5, 10), seed=3)
    generator = np.random.default_rng((3, 1))
    drawn = [generator.integers(40, size=40) for _ in range(200)]
    for row in comparisons(sample):
        d = values_of(sample, row, "a") - values_of(sample, row, "b")
        means = [float(sum(d[user] for user in users)) / 40 for users in drawn]
        assert_allclose(row["difference"], sum(d) / 40, atol=1e-12)
        assert_allclose([row["low"], row["high"]], np.quantile(means, [0.025, 0.975]), atol=1e-12)
        sides = [sum(m <= 1e-12 for m in means), sum(m >= -1e-12 for m in means)]
        assert row["p_bootstrap"] == min(1.0, 2 * (min(sides) + 1) / 201)


@given(st.integers(2, 40), st.integers(0, 50))
def test_turned_round_a_pair_says_the_same(users: int, seed: int) -> None:
    sample = sampled(users, "a", "b", seed=seed)
    swapped = Sample(
        tuple(sample.places[i] for i in (3, 4, 5, 0, 1, 2)),
        sample.values[[3, 4, 5, 0, 1, 2]],
        sample.means[[3, 4, 5, 0, 1, 2]],
    )
    for mine, its in zip(comparisons(sample), comparisons(swapped), strict=True):
        assert (mine["strategy_a"], mine["strategy_b"]) == (its["strategy_b"], its["strategy_a"])
        assert mine["difference"] == -its["difference"]
        assert_allclose([mine["low"], mine["high"]], [-its["high"], -its["low"]], atol=1e-12)
        for name in ("p_bootstrap", "p_wilcoxon", "p_holm"):
            assert_allclose(mine[name], its[name], rtol=1e-9)


@given(st.integers(5, 60), st.integers(0, 50))
def test_the_interval_holds_the_difference(users: int, seed: int) -> None:
    for row in comparisons(sampled(users, "a", "b", seed=seed)):
        spread = row["high"] - row["low"]
        assert row["low"] - 0.2 * spread <= row["difference"] <= row["high"] + 0.2 * spread
        assert row["low"] <= row["high"]
        assert 0 < row["p_bootstrap"] <= 1
        assert 0 < row["p_wilcoxon"] <= row["p_holm"] <= 1


def test_the_interval_covers_the_true_difference() -> None:
    """And where there is none, p falls below 0.05 in about one of twenty."""
    covered = below = 0
    for seed in range(300):
        random = np.random.default_rng((seed, 4))
        level = random.random(50)  # users differ more than strategies do
        measures = {
            ("s", name): np.tile(level + shift + 0.1 * random.normal(size=50), (1, 3, 1))
            for name, shift in (("a", 0.0), ("b", 0.02), ("c", 0.0))
        }
        sample = Protocol(50, folds=2, bootstrap=250, seed=seed).sample(measures, (10,))
        ab, ac, _ = comparisons(sample)[:3]
        covered += ab["low"] <= -0.02 <= ab["high"]
        below += ac["p_bootstrap"] < 0.05
    assert 0.90 < covered / 300 < 0.985
    assert 0.02 < below / 300 < 0.10


# -- Wilcoxon ----------------------------------------------------------------------------------


def pratt_z(d: HostArray) -> float:
    """The normal approximation by hand: ranks of all, then without the zeros (Cureton 1967)."""
    sizes = np.abs(d)
    ranks = np.array([(sizes < x).sum() + ((sizes == x).sum() + 1) / 2 for x in sizes])
    n, zeros = len(d), int((d == 0).sum())
    mean = (n * (n + 1) - zeros * (zeros + 1)) / 4
    variance = (n * (n + 1) * (2 * n + 1) - zeros * (zeros + 1) * (2 * zeros + 1)) / 24
    for size in np.unique(sizes[sizes > 0]):
        ties = int((sizes == size).sum())
        variance -= (ties**3 - ties) / 48
    return float((ranks[d > 0].sum() - mean) / variance**0.5)


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_by_hand(seed: int) -> None:
    random = np.random.default_rng(seed)
    d = (random.integers(0, 8, 200) - random.integers(0, 8, 200)).astype(float)
    assert (d == 0).any()
    assert_allclose(wilcoxon_p(d), 2 * norm.sf(abs(pratt_z(d))), rtol=1e-9)


def test_wilcoxon_of_few_is_exact() -> None:
    # Of the 2^6 ways to sign six ranks, one is as one-sided as this at either end.
    assert_allclose(wilcoxon_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])), 2 / 64)
    d = np.random.default_rng(0).normal(0.2, 1, 50)
    assert_allclose(wilcoxon_p(d), wilcoxon(d, method="exact").pvalue, rtol=1e-9)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_wilcoxon_of_few_counts_every_way_to_sign_them(d: list[int]) -> None:
    """With ties and zeros too."""
    sizes = [abs(x) for x in d]
    ranks = [sum(y < x for y in sizes) + (sizes.count(x) + 1) / 2 for x in sizes]
    signed = [rank for rank, x in zip(ranks, d, strict=True) if x]
    found = sum(rank for rank, x in zip(ranks, d, strict=True) if x > 0)
    ways = [sum(compress(signed, chosen)) for chosen in product((0, 1), repeat=len(signed))]
    shares = [sum(w <= found for w in ways) / len(ways), sum(w >= found for w in ways) / len(ways)]
    assert_allclose(wilcoxon_p(np.array(d, float)), min(1.0, 2 * min(shares)), rtol=1e-9)


def test_wilcoxon_of_many_goes_on_where_that_of_few_ends() -> None:
    d = np.random.default_rng(1).integers(-3, 5, 50).astype(float)
    assert_allclose(wilcoxon_p(d), wilcoxon_p(np.r_[d, 0.0]), rtol=0.1)


@pytest.mark.parametrize("d", [[0.0], [0.0, 0.0], [0.25], [0.25, -0.25], [0.0, 0.5]])
def test_wilcoxon_of_next_to_nobody_knows_nothing(d: list[float]) -> None:
    assert wilcoxon_p(np.array(d)) == 1.0


def test_rounding_breaks_no_tie() -> None:
    """0.3 - 0.2 and 0.2 - 0.1 are one difference, and 0.1 + 0.2 - 0.3 is none."""
    exact = np.array([1.0, 1.0, 0.0, -1.0, -1.0, 2.0] * 20)
    rounded = np.array([0.3 - 0.2, 0.2 - 0.1, 0.1 + 0.2 - 0.3, 0.2 - 0.3, 0.6 - 0.7, 0.2] * 20)
    assert wilcoxon_p(exact) == wilcoxon_p(rounded)
    assert bootstrap_p(np.array([0.1 + 0.2 - 0.3, 1.0, 1.0])) == bootstrap_p(np.array([0.0, 1, 1]))


# -- Holm --------------------------------------------------------------------------------------


def naive_holm(p: list[float]) -> list[float]:
    """The largest of m p(1), (m - 1) p(2), ... up to each, in ascending order."""
    ascending = sorted(range(len(p)), key=lambda i: (p[i], i))
    adjusted = [0.0] * len(p)
    for rank, i in enumerate(ascending):
        steps = [(len(p) - before) * p[ascending[before]] for before in range(rank + 1)]
        adjusted[i] = min(1.0, max(steps))
    return adjusted


@given(p_values)
def test_holm_is_holm(p: list[float]) -> None:
    found = holm(p).tolist()
    assert_allclose(found, naive_holm(p), rtol=1e-12)
    assert all(raw <= adjusted <= 1 for raw, adjusted in zip(p, found, strict=True))
    in_order = [found[i] for i in sorted(range(len(p)), key=lambda i: p[i])]
    assert in_order == sorted(in_order)
    if p:  # between the false discovery rate's adjustment and Bonferroni's
        assert (np.array(found) >= false_discovery_control(p) - 1e-12).all()
        assert (np.array(found) <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()


def test_holm_is_over_pairs_and_measures_of_one_space_and_length() -> None:
    rows = comparisons(sampled(60, "a", "b", "c", spaces=2, ks=(5, 10)))
    for start in range(0, len(rows), 9):
        family = rows[start : start + 9]
        assert len({(row["space"], row["k"]) for row in family}) == 1
        raw = [row["p_wilcoxon"] for row in family]
        assert_allclose([row["p_holm"] for row in family], naive_holm(raw))
