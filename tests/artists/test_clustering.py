"""Measures and clusters, against naive ones."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.special import comb

from gpu_coldstart.artists.clustering import clusters, divided, fit_threshold, merged
from gpu_coldstart.artists.measures import (
    adjusted_mutual_information,
    adjusted_rand_index,
    equal_error_rate,
)
from gpu_coldstart.engine.base import HostArray

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=9)


@given(labels)
def test_adjusted_rand_index_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    both = one = other = 0
    for (a, x), (b, y) in combinations(pairs, 2):
        both += a == b and x == y
        one += a == b
        other += x == y
    chance = one * other / comb(len(pairs), 2)
    most = (one + other) / 2
    wanted = 1.0 if most == chance else (both - chance) / (most - chance)
    truth, parts = np.array(pairs).T
    assert adjusted_rand_index(truth, parts) == pytest.approx(wanted)


def test_adjusted_mutual_information_takes_chance_away() -> None:
    """The expected information over all orders of the parts, each looked at."""
    from itertools import permutations

    def information(a: HostArray, b: HostArray) -> float:
        total = 0.0
        for x in set(a.tolist()):
            for y in set(b.tolist()):
                share = float(np.mean((a == x) & (b == y)))
                if share:
                    total += share * math.log(share / np.mean(a == x) / np.mean(b == y))
        return total

    truth, parts = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1])
    chance = float(np.mean([information(truth, np.array(p)) for p in permutations(parts)]))
    most = (information(truth, truth) + information(parts, parts)) / 2
    wanted = (information(truth, parts) - chance) / (most - chance)
    assert adjusted_mutual_information(truth, parts) == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=12))
def test_equal_error_rate(pairs: list[tuple[int, bool]]) -> None:
    """Every threshold tried, and a straight line between two of them."""
    same = [distance for distance, is_same in pairs if is_same]
    other = [distance for distance, is_same in pairs if not is_same]
    if not same or not other:
        return
    last = (0.0, 1.0)  # nothing is accepted
    for threshold in sorted({distance for distance, _ in pairs}):
        accepted = sum(distance <= threshold for distance in other) / len(other)
        missed = sum(distance > threshold for distance in same) / len(same)
        if accepted >= missed:
            gap, next_gap = last[1] - last[0], accepted - missed
            step = gap / (gap + next_gap)
            wanted = last[0] + step * (accepted - last[0])
            break
        last = (accepted, missed)
    distances, is_same = (np.array(each) for each in zip(*pairs, strict=True))
    assert equal_error_rate(distances, is_same) == pytest.approx(wanted)
    assert equal_error_rate(np.exp(distances), is_same) == pytest.approx(wanted)


def naive(places: HostArray, threshold: float) -> list[set[int]]:
    """Clusters merged one by one while the nearest two are within the threshold."""
    parts = [{row} for row in range(len(places))]
    while len(parts) > 1:
        mean = {
            (i, j): np.mean([math.dist(places[a], places[b]) for a in parts[i] for b in parts[j]])
            for i, j in combinations(range(len(parts)), 2)
        }
        (i, j), nearest = min(mean.items(), key=lambda item: item[1])
        if nearest > threshold:
            break
        parts[i] |= parts.pop(j)
    return parts


def test_clusters_are_those_of_average_linkage() -> None:
    random = np.random.default_rng(2)
    met = set()
    for threshold in (0.3, 0.8, 1.2, 2.0, 9.0):
        places = random.normal(size=(12, 2))
        parts = clusters(places, threshold)
        wanted = sorted(naive(places, threshold), key=lambda part: (-len(part), min(part)))
        assert [
            set(np.flatnonzero(parts == part).tolist()) for part in range(len(wanted))
        ] == wanted
        met.add(len(wanted))
    assert len(met) > 3


def test_small_clusters_join_the_nearest() -> None:
    places = np.array([[0.0], [0.1], [9.0], [9.1], [9.2], [6.0], [20.0]])
    assert clusters(places, 1.0).tolist() == [1, 1, 0, 0, 0, 2, 3]
    assert clusters(places, 1.0, least=2).tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert clusters(places, 1.0, least=4).tolist() == [0] * 7
    assert clusters(places[:1], 1.0, least=2).tolist() == [0]
    assert divided(places[:1], 1).tolist() == [0]


def test_threshold_is_the_best_of_all() -> None:
    random = np.random.default_rng(5)
    artists = np.repeat(np.arange(5), 4)
    places = random.normal(size=(5, 3))[artists] + random.normal(scale=0.4, size=(20, 3))
    groups = merged(artists, 6, random)
    sizes = [len(set(artists[group].tolist())) for group in groups]
    assert set(sizes) == {1, 2, 3}

    def score(threshold: float) -> float:
        total = 0.0
        for group, size in zip(groups, sizes, strict=True):
            parts = clusters(places[group], threshold)
            total += adjusted_rand_index(artists[group], parts) / sizes.count(size) / 3
        return total

    tried = [score(threshold) for threshold in np.linspace(0.05, 6, 25)]
    assert (
        score(fit_threshold([(places[group], artists[group]) for group in groups]))
        >= max(tried)
        > min(tried)
    )


def test_homonyms_are_whole_artists_one_to_three() -> None:
    artists = np.array([3, 0, 1, 1, 2, 0, 4])
    groups = merged(artists, 300, np.random.default_rng(0))
    members = [frozenset(artists[group].tolist()) for group in groups]
    wanted = [set(some) for size in (1, 2, 3) for some in combinations(range(5), size)]
    assert sorted(members, key=sorted) == sorted(wanted, key=sorted)
    for group in groups:
        assert_array_equal(group, np.flatnonzero(np.isin(artists, artists[group])))
    few = merged(artists, 3, np.random.default_rng(0))
    assert sorted(len(set(artists[group].tolist())) for group in few) == [1, 2, 3]
