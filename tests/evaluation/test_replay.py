"""The replay of the online test: cohorts, rates, intervals, tests."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import chisquare, kstest, ttest_ind

from gpu_coldstart.config.parameters import CarouselsConfig
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.comparisons import holm, wilcoxon_p
from gpu_coldstart.evaluation.replay import (
    MEASURES,
    Followup,
    cohorts,
    replay,
    successes,
    welch_p,
)

ARMS = ("default", "semi", "full")
Row = dict[str, Any]

# -- cohorts ---------------------------------------------------------------------------------------


def splitmix(state: int) -> int:
    """The published generator's first number, in integers of any size."""
    whole = 2**64
    state = (state + 0x9E3779B97F4A7C15) % whole
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % whole
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % whole
    return state ^ (state >> 31)


def test_the_oracle_is_the_published_generator() -> None:
    """Its well-known first numbers."""
    assert splitmix(0) == 0xE220A8397B1DCDAF
    assert splitmix(1234567) == 6457827717110365317


IDS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40)


@given(IDS, st.integers(1, 5), st.integers(0, 2**31 - 1))
def test_cohorts_are_hashes_of_the_id(ids: list[int], arms: int, seed: int) -> None:
    wanted = [splitmix((one % 2**64 + splitmix(seed)) % 2**64) % arms for one in ids]
    assert cohorts(np.array(ids, np.int64), arms, seed).tolist() == wanted


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_cohorts_of_strings_are_hashes_of_the_text(names: list[str]) -> None:
    """So that another string in the data set moves nobody."""
    numbers = [int(hashlib.sha256(one.encode()).hexdigest()[:16], 16) for one in names]
    wanted = [splitmix((one + splitmix(7)) % 2**64) % 3 for one in numbers]
    assert cohorts(np.array(names, object), 3, 7).tolist() == wanted


@given(IDS, st.randoms(use_true_random=False))
def test_cohorts_do_not_depend_on_other_users(ids: list[int], draw: random.Random) -> None:
    alone = {one: int(cohorts(np.array([one]), 3, 5)[0]) for one in ids}
    draw.shuffle(ids)
    assert cohorts(np.array(ids, np.int64), 3, 5).tolist() == [alone[one] for one in ids]


@pytest.mark.parametrize(
    "ids",
    [np.arange(30_000), 2**40 * np.arange(30_000), -3 * np.arange(30_000)],
    ids=["neighbours", "wide apart", "multiples of the arms"],
)
@pytest.mark.parametrize("seed", [0, 1, 77])
def test_cohorts_are_of_equal_size_and_of_each_seed_anew(ids: HostArray, seed: int) -> None:
    arm = cohorts(ids, 3, seed)
    assert chisquare(np.bincount(arm, minlength=3)).pvalue > 1e-4
    both = np.bincount(3 * arm + cohorts(ids, 3, seed + 1), minlength=9)
    assert chisquare(both).pvalue > 1e-4


# -- a small world ---------------------------------------------------------------------------------


def ones(rows: list[set[int]], width: int) -> sparse.csr_array:
    """Ones at the columns of each row."""
    indices = [column for row in rows for column in sorted(row)]
    indptr = np.cumsum([0, *map(len, rows)])
    return sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(rows), width))


class Small:
    """Users, what they did, and what each arm would show them, as sets and lists."""

    def __init__(self, seed: int, users: int = 40, tracks: int = 30, playlists: int = 25):
        draw = random.Random(seed)
        self.tracks, self.ids = tracks, draw.sample(range(-(2**50), 2**50), users)

        def subsets(rows: int, of: int, most: int) -> list[set[int]]:
            return [set(draw.sample(range(of), draw.randint(0, most))) for _ in range(rows)]

        self.playlists = subsets(playlists, tracks, 9)
        self.streams, self.favorites = subsets(users, tracks, 12), subsets(users, tracks, 4)
        self.listened, self.liked = subsets(users, playlists, 2), subsets(users, playlists, 1)
        self.shown = {arm: [draw.sample(range(playlists), 4) for _ in range(users)] for arm in ARMS}

    def replay(self, options: CarouselsConfig | None = None, **more: int) -> list[Row]:
        after = Followup(
            streams=ones(self.streams, self.tracks),
            playlist_streams=ones(self.listened, len(self.playlists)),
            favorites=ones(self.favorites, self.tracks),
            playlist_favorites=ones(self.liked, len(self.playlists)),
        )
        return replay(
            {arm: np.array(lists) for arm, lists in self.shown.items()},
            np.array(self.ids, np.int64),
            ones(self.playlists, self.tracks),
            after,
            options or CarouselsConfig(streamed_tracks=2, favorite_tracks=1),
            **{"bootstrap": 200, "seed": 0} | more,
        )

    def hits(self, measure: str, arm: str, user: int, options: CarouselsConfig) -> int:
        """Displays of a user that had success, counted one by one."""
        streamed = measure == "display-to-stream"
        tracks = (self.streams if streamed else self.favorites)[user]
        themselves = (self.listened if streamed else self.liked)[user]
        least = options.streamed_tracks if streamed else options.favorite_tracks
        return sum(
            playlist in themselves or len(tracks & self.playlists[playlist]) >= least
            for playlist in self.shown[arm][user]
        )


def only(rows: list[Row], **values: Any) -> Row:
    (found,) = [row for row in rows if values.items() <= row.items()]
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("streamed", "favorite"), [(1, 1), (2, 3)])
def test_naively_the_same(seed: int, streamed: int, favorite: int) -> None:
    small, options = (
        Small(seed),
        CarouselsConfig(streamed_tracks=streamed, favorite_tracks=favorite),
    )
    rows = small.replay(options, seed=seed)
    assert [(row["design"], row["measure"], row["arm"]) for row in rows] == [
        (design, measure, arm)
        for design in ("cohorts", "paired")
        for measure in MEASURES
        for arm in ARMS
    ]
    dealt = [splitmix((one % 2**64 + splitmix(seed)) % 2**64) % 3 for one in small.ids]
    sizes = [dealt.count(i) for i in range(3)]
    for row in rows:
        paired = row["design"] == "paired"
        measure, arm = row["measure"], ARMS.index(row["arm"])
        users = [[u for u in range(40) if paired or dealt[u] == place] for place in (arm, 0)]
        mine, first = (
            [small.hits(measure, ARMS[place], user, options) / 4 for user in those]
            for place, those in zip((arm, 0), users, strict=True)
        )
        rate = sum(mine) / len(mine)
        assert (row["users"], row["displays"]) == (len(mine), 4 * len(mine))
        assert row["successes"] == round(4 * sum(mine))
        assert row["rate"] == pytest.approx(rate)
        assert row["p_sample_ratio"] == (None if paired else pytest.approx(chisquare(sizes).pvalue))
        if not arm:
            assert [row[name] for name in ("relative", "relative_low", "p_value")] == [None] * 3
            continue
        base = sum(first) / len(first)
        assert row["relative"] == (pytest.approx(rate / base - 1) if base else None)
        if not any(mine + first):
            assert row["p_value"] is None
        elif paired:
            differences = np.array(mine) - np.array(first)
            assert row["p_value"] == pytest.approx(wilcoxon_p(differences))
        else:
            wanted = ttest_ind(mine, first, equal_var=False).pvalue
            assert row["p_value"] == pytest.approx(wanted)
    tested = [row for row in rows if row["p_value"] is not None]
    assert len(tested) >= 4
    assert [row["p_holm"] for row in tested] == holm([r["p_value"] for r in tested]).tolist()


def test_successes_of_many_users_are_those_of_each() -> None:
    """Also where users are done in several blocks."""
    small = Small(0, users=1030)
    found = successes(
        np.array(small.shown["semi"]),
        ones(small.playlists, small.tracks),
        ones(small.streams, small.tracks),
        ones(small.listened, len(small.playlists)),
        2,
    )
    options = CarouselsConfig(streamed_tracks=2)
    assert found.tolist() == [
        small.hits("display-to-stream", "semi", user, options) for user in range(1030)
    ]


# -- intervals -------------------------------------------------------------------------------------

INTERVALS = (("low", "rate", "high"), ("relative_low", "relative", "relative_high"))


@given(st.integers(0, 10**6))
def test_intervals_hold_what_they_are_of(seed: int) -> None:
    for row in Small(seed, users=30).replay(bootstrap=300):
        for names in INTERVALS:
            values = [row[name] for name in names]
            if None not in values:
                assert all(a <= b + 1e-9 for a, b in pairwise(values)), (names, values)
        assert row["p_holm"] is None or row["p_value"] <= row["p_holm"] <= 1


def test_an_interval_of_nine_in_ten_or_more_holds_the_truth() -> None:
    """95 % intervals of the rate and of the relative rate, over many worlds of known rates."""
    draw = np.random.default_rng(0)
    held = {"rate": 0, "relative": 0}
    for _ in range(100):
        rows = planted({"default": 0.3, "semi": 0.45}, draw, users=200)
        row = only(rows, design="cohorts", measure=MEASURES[0], arm="semi")
        held["rate"] += row["low"] <= 0.45 <= row["high"]
        held["relative"] += row["relative_low"] <= 0.5 <= row["relative_high"]
    assert 90 <= held["rate"] <= 99
    assert 90 <= held["relative"] <= 99


def test_same_seed_same_rows_and_another_seed_other_cohorts() -> None:
    small = Small(3)
    assert small.replay(seed=4) == small.replay(seed=4)
    assert small.replay(seed=4) != small.replay(seed=5)
    rates = [
        [row["rate"] for row in small.replay(seed=seed) if row["design"] == "paired"]
        for seed in (4, 5)
    ]
    assert rates[0] == rates[1]


def test_the_order_of_users_does_not_matter() -> None:
    small, turned = Small(2), Small(2)
    for name in ("ids", "streams", "favorites", "listened", "liked"):
        getattr(turned, name).reverse()
    for lists in turned.shown.values():
        lists.reverse()
    exact = ("users", "displays", "successes", "p_sample_ratio")
    for one, other in zip(small.replay(), turned.replay(), strict=True):
        assert [one[name] for name in exact] == [other[name] for name in exact]
        for name in ("rate", "relative", "p_value"):
            assert one[name] == (None if other[name] is None else pytest.approx(other[name]))


# -- tests of significance -------------------------------------------------------------------------


def planted(
    rates: Mapping[str, float], draw: np.random.Generator, *, users: int, bootstrap: int = 100
) -> list[Row]:
    """A replay where each display of an arm is a success with the arm's own probability.

    Each user has three playlists for each arm, of one track each, and streams some of them.
    """
    width = 3 * len(rates)
    streamed = draw.random((users, width)) < np.repeat([*rates.values()], 3)
    none = sparse.csr_array((users, width))
    return replay(
        {arm: np.tile(np.arange(3) + 3 * i, (users, 1)) for i, arm in enumerate(rates)},
        draw.integers(-(2**63), 2**63 - 1, users),
        sparse.csr_array(np.eye(width)),
        Followup(sparse.csr_array(streamed.astype(np.float64)), none, none, none),
        CarouselsConfig(streamed_tracks=1),
        bootstrap=bootstrap,
        seed=1,
    )


@pytest.fixture(scope="module")
def nulls() -> list[list[Row]]:
    """Replays in which all arms are equally good."""
    draw, equal = np.random.default_rng(2), dict.fromkeys(ARMS, 0.4)
    return [planted(equal, draw, users=200, bootstrap=2) for _ in range(120)]


@pytest.mark.parametrize("design", ["cohorts", "paired"])
def test_without_a_difference_p_is_uniform(design: str, nulls: list[list[Row]]) -> None:
    wanted = {"design": design, "measure": MEASURES[0], "arm": "full"}
    found = [only(rows, **wanted)["p_value"] for rows in nulls]
    assert kstest(found, "uniform").pvalue > 0.001
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.1


@pytest.mark.parametrize("design", ["cohorts", "paired"])
def test_a_planted_effect_is_found(design: str) -> None:
    rows = planted(
        {"default": 0.3, "semi": 0.45, "full": 0.3}, np.random.default_rng(3), users=1500
    )
    semi, full = (only(rows, design=design, measure=MEASURES[0], arm=a) for a in ("semi", "full"))
    assert semi["p_holm"] < 0.01
    assert semi["relative_low"] > 0
    assert semi["relative"] == pytest.approx(0.5, abs=0.2)
    assert full["p_holm"] > 0.01


def test_a_faulty_assignment_would_show() -> None:
    """Ids of one cohort alone: all users are in one arm."""
    small = Small(1)
    ids = np.arange(400)
    small.ids = ids[cohorts(ids, 3, 0) == 1][:40].tolist()
    rows = small.replay()
    assert only(rows, design="cohorts", measure=MEASURES[0], arm="semi")["p_sample_ratio"] < 1e-9


# -- where little can be said ----------------------------------------------------------------------


@pytest.mark.parametrize("users", [1, 2, 3])
def test_next_to_no_users(users: int) -> None:
    rows = Small(1, users=users).replay()
    assert sum(row["users"] for row in rows if row["design"] == "cohorts") == 2 * users
    for row in rows:
        assert (row["rate"] is None) == (row["users"] == 0)
        if row["users"] == 0:
            assert (row["displays"], row["successes"], row["relative"]) == (0, 0, None)
        assert row["p_value"] is None or 0 <= row["p_value"] <= 1


def test_no_success_at_all_says_nothing() -> None:
    small = Small(1)
    small.favorites = small.liked = [set() for _ in small.ids]
    rows = [row for row in small.replay() if row["measure"] == "display-to-favorite"]
    for row in rows:
        assert (row["successes"], row["rate"], row["low"], row["high"]) == (0, 0, 0, 0)
        assert [row[name] for name in ("relative", "p_value", "p_holm")] == [None] * 3
    assert len([r for r in small.replay() if r["p_value"] is not None]) == 4


def test_nothing_is_relative_to_a_first_arm_that_never_succeeds() -> None:
    rows = planted({"default": 0.0, "semi": 0.5}, np.random.default_rng(0), users=60)
    row = only(rows, design="paired", measure=MEASURES[0], arm="semi")
    assert [row[name] for name in ("relative", "relative_low", "relative_high")] == [None] * 3
    assert row["p_value"] < 1e-6


def test_a_first_arm_that_may_never_succeed_leaves_the_ratio_without_bounds() -> None:
    draw = np.random.default_rng(0)
    rows = planted({"default": 0.01, "semi": 0.5}, draw, users=60, bootstrap=400)
    row = only(rows, design="paired", measure=MEASURES[0], arm="semi")
    assert row["relative"] is not None
    assert row["relative_low"] is row["relative_high"] is None


def test_welch_needs_two_users_and_some_spread() -> None:
    assert welch_p(np.array([1.0]), np.array([1.0, 0.0])) is None
    assert welch_p(np.ones(3), np.ones(4)) == 1.0
    assert welch_p(np.ones(3), np.zeros(4)) is None
    a, b = np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.5, 0.25])
    assert welch_p(a, b) == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)
