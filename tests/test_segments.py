"""Segments: their number, their popular tracks and their descriptions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.parameters import FeaturesConfig, SegmentsConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import KmeansOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.segments import Segments as Found
from gpu_coldstart.segments import cluster, describe, fit, number_of_segments, shares_of
from gpu_coldstart.spaces import Space
from tests.worlds import dense, hand_logs, sparse


@pytest.mark.parametrize(
    ("k", "n_warm", "wanted"),
    [
        (0, 70_000, 1000),
        (0, 700_000, 1000),
        (0, 7_000, 100),
        (0, 139, 1),
        (0, 140, 2),
        (0, 3, 1),
        (7, 7, 7),
        (2000, 70_000, 2000),
    ],
)
def test_number_of_segments(k: int, n_warm: int, wanted: int) -> None:
    assert number_of_segments(k, n_warm) == wanted


def test_number_of_segments_refuses_more_than_users() -> None:
    with pytest.raises(UserError, match=r"segments\.k.* 8.* 7 warm users"):
        number_of_segments(8, 7)


@pytest.mark.parametrize("of", ["members", "listens"])
@pytest.mark.parametrize("seed", range(3))
def test_shares_of(engine: Engine, seed: int, of: str) -> None:
    random = np.random.default_rng(seed)
    n_users, n_tracks, k = 25, 33, 4
    plays = random.integers(1, 9, (n_users, n_tracks)) * (random.random((n_users, n_tracks)) < 0.3)
    labels = random.permutation(np.arange(n_users) % (k - 1))  # the last segment has nobody
    plays[labels == 1] = 0  # and the members of another streamed nothing
    assigned = engine.asarray(labels.astype(np.int32))
    found = shares_of(engine, sparse(engine, plays), assigned, k, of=of)
    wanted = np.zeros((k, n_tracks))
    for segment in range(k - 1):
        members = [user for user in range(n_users) if labels[user] == segment]
        listens = sum(plays[user, track] > 0 for user in members for track in range(n_tracks))
        total = len(members) if of == "members" else max(1, listens)
        for track in range(n_tracks):
            # A member counts once, however often it streamed the track.
            wanted[segment, track] = sum(plays[user, track] > 0 for user in members) / total
    assert_allclose(dense(engine, found), wanted, rtol=1e-6)


@given(seed=st.integers(0, 999), k=st.integers(1, 5))
def test_both_ways_to_count_rank_alike(engine: Engine, seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    plays = (random.random((12, 9)) < random.random()).astype(np.float32)
    labels = engine.asarray(random.integers(0, k, 12).astype(np.int32))
    matrix = sparse(engine, plays)
    one, other = (shares_of(engine, matrix, labels, k, of=of) for of in ("members", "listens"))
    (tracks, _), (others, shares) = (engine.row_top(found, 9) for found in (one, other))
    assert_array_equal(engine.to_host(tracks), engine.to_host(others))
    totals = engine.to_host(shares).sum(axis=1)
    assert_allclose(totals[totals > 0], 1, rtol=1e-5)


def a_world(engine: Engine) -> tuple[Any, Any, list[int]]:
    """Users around three corners, each corner with its own tracks."""
    random = np.random.default_rng(0)
    corner = [0, 1, 2] * 10
    points = np.eye(3, 5)[corner] + random.normal(scale=0.01, size=(30, 5))
    history = np.zeros((30, 8))
    for user, place in enumerate(corner):
        history[user, [0, 1 + 2 * place]] = [1, 4]
        history[user, 2 + 2 * place] = user % 2
    order = np.argsort(-(history > 0).sum(axis=0), kind="stable")
    logs = hand_logs(engine, history[:, order], cold_day_one=np.eye(2, 8))
    space = Space(
        "x",
        engine.asarray(np.zeros((8, 5), np.float32)),
        engine.asarray(points.astype(np.float32)),
    )
    return logs, space, corner


def test_fit(engine: Engine) -> None:
    logs, space, corner = a_world(engine)
    found = fit(engine, logs, space, SegmentsConfig(k=3), 0)
    labels = engine.to_host(found.labels)
    groups = {frozenset(np.flatnonzero(labels == label).tolist()) for label in range(3)}
    assert groups == {frozenset(u for u in range(30) if corner[u] == c) for c in range(3)}
    points, history = engine.to_host(space.users), dense(engine, logs.history)
    for label in range(3):
        members = labels == label
        assert_allclose(
            engine.to_host(found.centroids)[label], points[members].mean(axis=0), atol=1e-5
        )
        assert_allclose(
            dense(engine, found.shares)[label], (history[members] > 0).mean(axis=0), rtol=1e-6
        )
    inertia = np.square(points - engine.to_host(found.centroids)[labels]).sum()
    assert_allclose(found.inertia, inertia, rtol=1e-3)


def test_fit_counts_as_configured(engine: Engine) -> None:
    logs, space, _ = a_world(engine)
    for of in ("members", "listens"):
        options = SegmentsConfig(k=3, restarts=2, seeding_points=0, popularity=of)
        found = fit(engine, logs, space, options, 0)
        wanted = shares_of(engine, logs.plays, found.labels, 3, of=of)
        assert_array_equal(dense(engine, found.shares), dense(engine, wanted))


def test_cluster_hands_on_every_option(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[KmeansOptions] = []
    monkeypatch.setattr(type(engine), "kmeans", lambda _, points, options: given.append(options))
    options = SegmentsConfig(iterations=3, restarts=4, seeding_points=5)
    cluster(engine, np.zeros((6, 2), np.float32), 2, options, 7)
    assert given == [KmeansOptions(k=2, iterations=3, seed=7, restarts=4, seeding_points=5)]


def test_fit_heeds_the_seed(engine: Engine) -> None:
    logs, space, _ = a_world(engine)
    one, again, *others = (
        engine.to_host(fit(engine, logs, space, SegmentsConfig(k=9), s).labels)
        for s in (1, 1, 2, 3)
    )
    assert_array_equal(one, again)
    assert any((one != other).any() for other in others)


def test_describe(engine: Engine) -> None:
    random = np.random.default_rng(5)
    n, n_tracks, k = 40, 12, 5
    history = random.integers(1, 4, (n, n_tracks)) * (random.random((n, n_tracks)) < 0.4)
    history = history[:, np.argsort(-(history > 0).sum(axis=0), kind="stable")]
    country, ages = random.integers(-1, 3, n + 2), random.choice([np.nan, 15, 20, 30, 70], n + 2)
    genre = random.integers(-1, 5, n_tracks)
    labels = random.permutation(np.arange(n) % k)
    country[np.flatnonzero(labels == 3)] = -1  # of segment 3 nothing is known
    ages[np.flatnonzero(labels == 3)] = np.nan
    history[labels == 4] *= genre < 0  # and segment 4 plays nothing of a known genre
    countries, genres = ("BR", "DE", "FR"), ("a", "b", "c", "d", "e")
    logs = hand_logs(engine, np.zeros((n, n_tracks)), cold_day_one=np.eye(2, n_tracks))
    logs = dataclasses.replace(
        logs,
        history=sparse(engine, history),
        country=engine.asarray(country.astype(np.int32)),
        countries=countries,
        age=engine.asarray(ages.astype(np.float32)),
        genre=engine.asarray(genre.astype(np.int32)),
        genres=genres,
    )
    segments = Found(
        engine.asarray(np.zeros((k, 2), np.float32)),
        engine.asarray(labels.astype(np.int32)),
        sparse(engine, np.zeros((k, n_tracks))),
        0.0,
    )
    found = describe(engine, logs, segments, FeaturesConfig().age_classes)
    names = {15: "under 18", 20: "18-24", 30: "25-34", 70: "65 and over"}
    assert list(found["segment"]) == list(range(k))
    for segment in range(k):
        members = np.flatnonzero(labels == segment)
        assert found["size"][segment] == len(members)
        here = Counter(countries[country[u]] for u in members if country[u] >= 0)
        old = Counter(names[int(ages[u])] for u in members if ages[u] == ages[u])
        if segment == 3:
            assert found["country"][3] is None
            assert found["age_class"][3] is None
        else:
            assert here[str(found["country"][segment])] == max(here.values())
            assert old[str(found["age_class"][segment])] == max(old.values())
        plays: Counter[str] = Counter()
        for u in members:
            for track in np.flatnonzero(history[u]):
                if genre[track] >= 0:
                    plays[genres[genre[track]]] += 1
        ranked = sorted(plays, key=lambda name: (-plays[name], name))
        assert found["genres"][segment] == ranked[:3]
    assert found["genres"][4] == []
