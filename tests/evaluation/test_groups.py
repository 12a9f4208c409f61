"""Groups of users, and means over them: bins, partitions, intervals, strata."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.exposure import exposure
from gpu_coldstart.evaluation.groups import (
    SMALLER,
    Grouping,
    by_age,
    by_count,
    by_country,
    event_counts,
    group_means,
    interaction_groups,
    interactions,
)
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol
from gpu_coldstart.evaluation.strata import groupings, strata

NAMES = [signal.name for signal in SIGNALS]
AGES = ("under 18", "18-24", "25 and over")
COUNTRIES = tuple(f"C{i:02}" for i in range(14))


def events(**counts: float) -> HostArray:
    """The signals of one user [1, 18]."""
    return np.array([[counts.get(name, 0.0) for name in NAMES]], np.float32)


def labels(grouping: Grouping) -> list[str]:
    return [grouping.labels[code] for code in grouping.codes]


# -- counts ------------------------------------------------------------------------------------


def test_every_count_has_its_bin() -> None:
    found = labels(by_count("streams", np.arange(25)))
    wanted = ["0", "1-2", "1-2", *["3-5"] * 3, *["6-10"] * 5, *["11-20"] * 10, *[">20"] * 4]
    assert found == wanted
    assert labels(by_count("streams", np.array([10**12]))) == [">20"]


def test_a_stream_is_one_interaction_though_three_signals_count_it() -> None:
    streams = events(streamed_songs=3, streamed_artists=3, streamed_albums=2)
    assert interactions(streams).tolist() == [3]
    both = events(streamed_songs=3, streamed_artists=5, skipped_songs=1, skipped_artists=1)
    assert interactions(both).tolist() == [6]


def test_other_signals_are_counted_one_by_one() -> None:
    some = events(favorite_songs=1, favorite_artists=1, search_songs=2, search_playlists=1)
    assert interactions(some).tolist() == [5]
    assert interactions(events(onboarding_like_artists=4)).tolist() == [4]


@pytest.mark.parametrize("name", NAMES)
def test_any_signal_at_all_is_an_interaction(name: str) -> None:
    assert interactions(events(**{name: 1})).tolist() == [1]
    assert labels(interaction_groups(events(**{name: 1}))) == ["1-2"]
    assert labels(interaction_groups(events())) == ["none at all"]
    assert event_counts(events(**{name: 7}), name).tolist() == [7]


@given(st.lists(st.lists(st.integers(0, 9), min_size=18, max_size=18), min_size=1, max_size=9))
def test_interactions_naively(rows: list[list[int]]) -> None:
    signals = np.array(rows, np.float32)
    for row, found in zip(rows, interactions(signals).tolist(), strict=True):
        counts = dict(zip(NAMES, row, strict=True))
        wanted = sum(
            max(counts[f"{action}_{kind}"] for kind in ("songs", "artists", "albums"))
            for action in ("skipped", "streamed", "banned")
        )
        wanted += sum(
            counts[name] for name in NAMES if name.split("_")[0] in ("favorite", "search")
        )
        assert found == wanted + counts["onboarding_like_artists"]
        assert (found == 0) == (sum(row) == 0)


# -- countries and ages ------------------------------------------------------------------------


def test_ten_countries_by_name_then_the_others() -> None:
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 2, 0, 1]
    codes = np.array([code for code, size in enumerate(sizes) for _ in range(size)] + [-1, -1])
    found = by_country(codes, COUNTRIES)
    named = ["C09", "C08", "C10", "C07", "C06", "C05", "C04", "C03", "C02", "C01"]
    assert found.labels == (*named, "other", "unknown")
    assert [label for _, label, _ in found.members()] == [*named, "other", "unknown"]
    sizes_found = {label: len(places) for _, label, places in found.members()}
    assert (sizes_found["C09"], sizes_found["other"], sizes_found["unknown"]) == (10, 4, 2)
    assert sizes_found["C01"] == 2  # as many as C11, and first by name


@pytest.mark.parametrize("name", ["all", "other", "unknown", "Unknown", '"other"', "n/a"])
def test_a_country_that_is_called_like_a_group_of_the_tables(name: str) -> None:
    names = (name, *(f"C{i}" for i in range(11)))
    codes = np.array([0, 0, *range(1, 12), -1])
    strata = [label for _, label, _ in by_country(codes, names).members()]
    assert len({label.casefold() for label in strata}) == len(strata) == 12
    ranks, popularity = np.ones((len(codes), 1), np.int64), np.array([1])
    shown = [row["country"] for row in exposure(ranks, popularity, 1, (codes, names))]
    assert len(set(shown)) == len(shown) == 11
    assert strata[0] == shown[1] == f'"{name}"'


def test_no_country_and_no_age_at_all() -> None:
    codes = np.full(4, -1, np.int32)
    for found in (by_country(codes, ()), by_age(codes, AGES)):
        assert [(label, len(places)) for _, label, places in found.members()] == [("unknown", 4)]


def test_ages_in_their_order() -> None:
    found = by_age(np.array([2, -1, 0, 2]), AGES)
    assert [(o, label, p.tolist()) for o, label, p in found.members()] == [
        (0, "under 18", [2]),
        (2, "25 and over", [0, 3]),
        (3, "unknown", [1]),
    ]


# -- means and intervals -----------------------------------------------------------------------


def test_a_group_is_resampled_within() -> None:
    values = np.random.default_rng(0).random((3, 50))
    codes = np.random.default_rng(1).integers(0, 3, 50)
    found = list(group_means(values, Grouping("x", tuple("abc"), codes), bootstrap=60, seed=4))
    assert [(group.order, group.label) for group in found] == [(0, "a"), (1, "b"), (2, "c")]
    for group in found:
        members = values[:, codes == group.order]
        generator = np.random.default_rng((4, 2, group.order))
        n = members.shape[1]
        drawn = [generator.integers(n, size=n) for _ in range(60)]
        means = np.array([[series[users].mean() for users in drawn] for series in members])
        assert group.users == n
        assert_allclose(group.mean, members.mean(axis=1))
        assert_allclose([group.low, group.high], np.quantile(means, [0.025, 0.975], axis=1))


def test_a_lone_user_is_all_of_the_interval() -> None:
    (found,) = group_means(
        np.array([[0.3]]), Grouping("x", ("a", "b"), np.array([1])), bootstrap=9, seed=0
    )
    assert (found.order, found.users) == (1, 1)
    assert found.mean == found.low == found.high == 0.3


def test_the_interval_covers_the_mean_of_the_group() -> None:
    covered = 0
    for seed in range(300):
        values = np.random.default_rng((seed, 9)).exponential(size=(1, 120))
        grouping = Grouping("x", ("a", "b"), np.arange(120) % 2)
        for found in group_means(values, grouping, bootstrap=200, seed=seed):
            covered += bool(found.low[0] <= 1 <= found.high[0])
    assert 0.89 < covered / 600 < 0.98


def test_small_groups_are_one_where_there_are_several_beside_larger_ones() -> None:
    def sizes(*users: int) -> list[tuple[str, int]]:
        grouping = Grouping("by", tuple("abcd"), np.repeat(range(4), users))
        return [(label, len(places)) for _, label, places in grouping.folded().members()]

    assert sizes(20, 19, 0, 1) == [("a", 20), (SMALLER, 20)]
    assert sizes(20, 19, 0, 30) == [("a", 20), ("b", 19), ("d", 30)]
    assert sizes(19, 19, 1, 1) == [("a", 19), ("b", 19), ("c", 1), ("d", 1)]
    assert sizes(0, 2, 50, 3) == [("c", 50), (SMALLER, 5)]


# -- strata ------------------------------------------------------------------------------------


def made(users: int, seed: int) -> tuple[list[Grouping], list[dict[str, Any]], HostArray]:
    """Groupings, strata and values of made-up users."""
    random = np.random.default_rng(seed)
    signals = random.poisson(random.exponential(4, (users, 1)), (users, 18)).astype(np.float32)
    signals[random.random(users) < 0.2] = 0
    among = groupings(
        signals,
        (random.integers(-1, 14, users), COUNTRIES),
        (random.integers(-1, 3, users), AGES),
    )
    values = {("s", name): random.random((1, 3, users)) for name in "ab"}
    sample = Protocol(users, folds=10, bootstrap=20, seed=0).sample(values, (10,))
    return among, strata(sample, among, bootstrap=20, seed=0), sample.values


@given(st.integers(1, 60), st.integers(0, 99))
def test_strata_partition_the_users(users: int, seed: int) -> None:
    among, rows, values = made(users, seed)
    names = ["onboarding_artists", "streams", "skips", "interactions", "country", "age"]
    assert [grouping.by for grouping in among] == names
    for by in names:
        of_one = [row for row in rows if row["by"] == by and row["strategy"] == "b"]
        for i, measure in enumerate(MEASURES):
            those = [row for row in of_one if row["measure"] == measure]
            orders = [row["order"] for row in those]
            assert orders == sorted(set(orders))
            assert sum(row["users"] for row in those) == users
            whole = sum(row["users"] * row["mean"] for row in those) / users
            assert_allclose(whole, values[3 + i].mean(), rtol=1e-9)
            assert all(row["low"] <= row["high"] for row in those)
            assert min(row["users"] for row in those) > 0


def test_strata_are_means_over_members() -> None:
    among, rows, values = made(80, 3)
    places = [("s", name, 10, measure) for name in "ab" for measure in MEASURES]
    for row in rows:
        grouping = next(g for g in among if g.by == row["by"])
        mine = values[places.index((row["space"], row["strategy"], row["k"], row["measure"]))]
        members = [
            v for v, label in zip(mine, labels(grouping), strict=True) if label == row["group"]
        ]
        assert row["users"] == len(members)
        assert_allclose(row["mean"], sum(members) / len(members), rtol=1e-12)
        assert grouping.labels[row["order"]] == row["group"]
