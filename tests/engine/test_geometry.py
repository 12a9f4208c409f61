"""K-means, nearest centroids and top-k: against brute force in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray, KmeansOptions
from tests.conftest import ENGINES, OLD_CARD
from tests.worlds import types

pytestmark = pytest.mark.parametrize(
    "engine", [*ENGINES, *OLD_CARD], indirect=True, scope="session"
)

# -- k-means ---------------------------------------------------------------------------------------


def run_kmeans(
    engine: Engine,
    points: HostArray,
    k: int,
    *,
    iterations: int = 30,
    seed: int = 0,
    **starts: int,
) -> tuple[HostArray, HostArray, float]:
    moved = engine.asarray(points.astype(np.float32))
    found = engine.kmeans(moved, KmeansOptions(k=k, iterations=iterations, seed=seed, **starts))
    return engine.to_host(found.centroids), engine.to_host(found.labels), found.inertia


def check_kmeans(
    points: HostArray, k: int, centroids: HostArray, labels: HostArray, inertia: float
) -> None:
    """What must hold whatever the start: means, full segments, and the inertia's formula."""
    assert centroids.shape == (k, points.shape[1])
    assert centroids.dtype == np.float32
    assert labels.shape == (len(points),)
    assert labels.dtype == np.int32
    assert set(labels.tolist()) == set(range(k))
    for segment in range(k):
        mean = points[labels == segment].astype(np.float64).mean(axis=0)
        assert_allclose(centroids[segment], mean, rtol=1e-5, atol=1e-5)
    wanted = sum(
        float(np.square(point.astype(np.float64) - centroids[label]).sum())
        for point, label in zip(points, labels, strict=True)
    )
    assert_allclose(inertia, wanted, rtol=1e-4, atol=1e-5)


def blobs(seed: int, n: int, d: int, centres: int, spread: float = 1.0) -> HostArray:
    random = np.random.default_rng(seed)
    middle = random.normal(size=(centres, d)) * 6
    chosen = random.integers(0, centres, n)
    return (middle[chosen] + random.normal(size=(n, d)) * spread).astype(np.float32)


@pytest.mark.parametrize(
    ("n", "d", "k"), [(1, 3, 1), (7, 2, 7), (50, 33, 4), (400, 5, 12), (200, 1, 6)]
)
def test_kmeans_keeps_its_promises(engine: Engine, n: int, d: int, k: int) -> None:
    points = blobs(n, n, d, max(1, k - 1))
    check_kmeans(points, k, *run_kmeans(engine, points, k))


def test_kmeans_labels_are_the_nearest_once_settled(engine: Engine) -> None:
    points = blobs(1, 500, 8, 9)
    centroids, labels, _ = run_kmeans(engine, points, 9, iterations=100)
    away = np.linalg.norm(points[:, None].astype(np.float64) - centroids[None], axis=2)
    own = away[np.arange(len(points)), labels]
    assert (own <= away.min(axis=1) + 1e-3).all()


@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_kmeans_of_repeated_points_leaves_no_segment_empty(engine: Engine, distinct: int) -> None:
    points = np.repeat(blobs(2, distinct, 4, distinct), 8, axis=0)
    k = distinct + 3
    centroids, labels, inertia = run_kmeans(engine, points, k)
    check_kmeans(points, k, centroids, labels, inertia)
    assert_allclose(inertia, 0, atol=1e-4)


@given(seed=st.integers(0, 999), n=st.integers(1, 40), d=st.sampled_from([1, 3, 33]))
def test_kmeans_on_a_grid(engine: Engine, seed: int, n: int, d: int) -> None:
    random = np.random.default_rng(seed)
    points = random.integers(-2, 3, (n, d)).astype(np.float32)  # many ties and repeats
    k = int(random.integers(1, n + 1))
    check_kmeans(points, k, *run_kmeans(engine, points, k, iterations=3, seed=seed))


def test_kmeans_is_about_as_good_as_another_library(engine: Engine) -> None:
    points = blobs(3, 3000, 6, 25, spread=2.0)
    reference = KMeans(25, init="k-means++", n_init=3, random_state=0).fit(points).inertia_
    ours = [run_kmeans(engine, points, 25, seed=seed)[2] for seed in range(3)]
    assert min(ours) < 1.08 * reference
    assert max(ours) < 1.30 * reference


def test_kmeans_iterations_lower_the_inertia(engine: Engine) -> None:
    points = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    one, many = (run_kmeans(engine, points, 20, iterations=i)[2] for i in (1, 25))
    assert many < 0.99 * one


def test_kmeans_depends_on_the_seed_only(engine: Engine) -> None:
    points = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    one, again, other = (run_kmeans(engine, points, 10, seed=seed) for seed in (1, 1, 2))
    assert_array_equal(one[1], again[1])
    assert_array_equal(one[0], again[0])
    assert (one[1] != other[1]).any()


@pytest.mark.parametrize("seeding_points", [0, 3])
def test_kmeans_of_several_starts_keeps_the_best(engine: Engine, seeding_points: int) -> None:
    points = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    inertias = []
    for restarts in (1, 2, 8):
        options = {"restarts": restarts, "seeding_points": seeding_points, "iterations": 2}
        inertias.append(0.0)
        for seed in range(3):
            found = run_kmeans(engine, points, 20, **options, seed=seed)
            check_kmeans(points, 20, *found)
            again = run_kmeans(engine, points, 20, **options, seed=seed)
            assert_array_equal(found[1], again[1])
            inertias[-1] += found[2]
    assert inertias[2] < inertias[0], "eight starts at random, and the first is always the best"
    if engine.name == "cpu":  # cuML compares before we settle its segments
        assert inertias[2] <= inertias[1] <= inertias[0]


def test_kmeans_starts_among_the_points_it_may_look_at(engine: Engine) -> None:
    points = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    few, more, every = (
        run_kmeans(engine, points, 10, iterations=1, seeding_points=n) for n in (2, 20, 0)
    )
    check_kmeans(points, 10, *few)
    check_kmeans(points, 10, *every)
    if engine.name == "cpu":  # k-means|| knows no such sample
        assert (few[1] != every[1]).any()
        # 20 points a segment are half of them, 40 all.
        assert (more[1] != every[1]).any()
        whole = run_kmeans(engine, points, 10, iterations=1, seeding_points=40)
        assert_array_equal(whole[1], every[1])


# -- nearest ---------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([1, 5, 70]),
    k=st.sampled_from([1, 6, 40]),
    d=st.sampled_from([1, 3, 33]),
    ties=st.booleans(),
    data=st.data(),
)
def test_nearest(
    engine: Engine, seed: int, n: int, k: int, d: int, ties: bool, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    if ties:
        points, centroids = (random.integers(-1, 2, (rows, d)).astype("f4") for rows in (n, k))
    else:
        points, centroids = (random.normal(size=(rows, d)).astype("f4") for rows in (n, k))
    asked = data.draw(st.integers(1, k))
    labels, distances = (
        engine.to_host(part)
        for part in engine.nearest(engine.asarray(points), engine.asarray(centroids), asked)
    )
    assert types(labels, distances) == ["int32", "float32"]
    assert labels.shape == distances.shape == (n, asked)
    for i in range(n):
        exact = [float(np.square(points[i].astype(float) - c).sum()) ** 0.5 for c in centroids]
        assert_allclose(distances[i], sorted(exact)[:asked], rtol=1e-4, atol=1e-3)
        assert_allclose(distances[i], [exact[label] for label in labels[i]], rtol=1e-4, atol=1e-3)
        assert len(set(labels[i].tolist())) == asked
        if ties:  # equal distances: smaller label first
            wanted = sorted(range(k), key=lambda label: (round(exact[label], 6), label))
            assert labels[i].tolist() == wanted[:asked]


# -- top_k -----------------------------------------------------------------------------------------


def best_of(scores: HostArray, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda item: (-float(scores[item]), item))[:k]


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([1, 6, 45]),
    m=st.sampled_from([1, 9, 130]),
    d=st.sampled_from([1, 4, 33]),
    data=st.data(),
)
def test_top_k_settles_ties_by_index(
    engine: Engine, seed: int, n: int, m: int, d: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    queries, items = (random.integers(-2, 3, (rows, d)).astype("f4") for rows in (n, m))
    k = data.draw(st.sampled_from(sorted({1, (m + 1) // 2, m})))
    found, scores = (
        engine.to_host(part)
        for part in engine.top_k(engine.asarray(queries), engine.asarray(items), k)
    )
    assert types(found, scores) == ["int32", "float32"]
    assert found.shape == scores.shape == (n, k)
    exact = queries.astype(np.float64) @ items.T
    for i in range(n):
        assert found[i].tolist() == best_of(exact[i], k)
        assert_array_equal(scores[i], exact[i][found[i]])


@pytest.mark.parametrize("k", [1, 20, 499, 500])
def test_top_k_of_real_numbers(engine: Engine, k: int) -> None:
    random = np.random.default_rng(k)
    queries = random.normal(size=(60, 37)).astype(np.float32)
    items = random.normal(size=(500, 37)).astype(np.float32)
    found, scores = (
        engine.to_host(part)
        for part in engine.top_k(engine.asarray(queries), engine.asarray(items), k)
    )
    longest = engine.longest(engine.asarray(items))
    assert longest == pytest.approx(np.linalg.norm(items.astype(np.float64), axis=1).max())
    again = engine.top_k(engine.asarray(queries), engine.asarray(items), k, longest=longest)
    assert_array_equal(engine.to_host(again[0]), found)
    exact = queries.astype(np.float64) @ items.T
    for i in range(60):
        assert_allclose(scores[i], np.sort(exact[i])[::-1][:k], rtol=1e-5, atol=1e-4)
        assert_allclose(scores[i], exact[i][found[i]], rtol=1e-5, atol=1e-4)
        assert len(set(found[i].tolist())) == k


def test_top_k_of_equal_scores_takes_the_most_popular(engine: Engine) -> None:
    items = np.repeat(np.random.default_rng(0).normal(size=(1, 33)), 700, axis=0).astype("f4")
    queries = np.concatenate([items[:30], -items[:30], 0 * items[:1]])
    found, scores = (
        engine.to_host(part)
        for part in engine.top_k(engine.asarray(queries), engine.asarray(items), 50)
    )
    assert_array_equal(found[60], np.arange(50))
    assert_array_equal(scores[60], np.zeros(50))
    assert_array_equal(found[:60], np.tile(np.arange(50), (60, 1)))
    assert (scores[:60] == scores[:60, :1]).all()


@pytest.mark.parametrize("among", ["the first", "all"])
def test_near_ties_are_settled_among_items_searched_in_parts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, among: str
) -> None:
    in_parts: Any = getattr(engine, "_search", None)  # the CUDA engine's
    if in_parts is not None:
        monkeypatch.setattr(in_parts, "most_items", 100)
    random = np.random.default_rng(0)
    items = random.normal(size=(350, 33)).astype("f4")
    tied = np.arange(70) if among == "the first" else np.arange(0, 350, 5)
    items[tied] = items[0] + np.float32(1e-7) * random.normal(size=(70, 33)).astype("f4")
    query = items[:1] * 3
    for search, exact in (
        (engine.top_k, -(query.astype(np.float64) @ items.T)[0]),
        (engine.nearest, np.linalg.norm(query.astype(np.float64) - items, axis=1)),
    ):
        found = engine.to_host(search(engine.asarray(query), engine.asarray(items), 12)[0])[0]
        wanted = np.argsort(exact.astype(np.float32), kind="stable")[:12]
        assert found.tolist() == wanted.tolist()


def test_distances_are_exact_far_from_the_origin(engine: Engine) -> None:
    """Where a distance is the small difference of large float32 numbers."""
    random = np.random.default_rng(0)
    points, centroids = (1000 + random.normal(size=(n, 9)).astype("f4") for n in (40, 300))
    exact = np.linalg.norm(points[:, None].astype(np.float64) - centroids, axis=2)
    wanted = np.argsort(exact.astype(np.float32), axis=1, kind="stable")[:, :12]
    labels, distances = engine.nearest(engine.asarray(points), engine.asarray(centroids), 12)
    assert_array_equal(engine.to_host(labels), wanted)
    nearest = np.take_along_axis(exact, wanted, axis=1)
    assert_allclose(engine.to_host(distances), nearest, rtol=1e-6)


# -- a query in other company -----------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([2, 19, 21, 300]),
    m=st.sampled_from([3, 70, 900]),
    d=st.sampled_from([1, 33, 128]),
    kind=st.sampled_from(["normal", "whole", "alike"]),
    data=st.data(),
)
def test_neighbours_do_not_depend_on_the_company(
    engine: Engine, seed: int, n: int, m: int, d: int, kind: str, data: st.DataObject
) -> None:
    """Libraries choose their algorithm, and so the order of their sums, by the size of a batch."""
    random = np.random.default_rng(seed)
    queries, items = (random.normal(size=(rows, d)).astype("f4") for rows in (n, m))
    if kind == "whole":
        queries, items = np.round(queries), np.round(items)
    if kind == "alike":  # nearly the same item over and over
        items = (items[:1] + np.float32(1e-6) * items).astype("f4")
    k = data.draw(st.sampled_from(sorted({1, min(12, m), m // 2 + 1})))
    some = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True)))
    for search in (engine.top_k, engine.nearest):
        together, apart = (
            [engine.to_host(p) for p in search(engine.asarray(q), engine.asarray(items), k)]
            for q in (queries, queries[some])
        )
        for all_of_them, few in zip(together, apart, strict=True):
            assert np.ascontiguousarray(all_of_them[some]).tobytes() == few.tobytes()
