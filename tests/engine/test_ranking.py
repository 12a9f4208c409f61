"""Soft allocation, what was seen, and the measures: against one user at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from tests.worlds import sparse, types

# -- soft allocation -------------------------------------------------------------------------------


def naive_slots(weights: list[float], slots: int) -> list[int]:
    """Largest remainder, equal remainders to the earlier."""
    ideal = [Fraction(weight) * slots for weight in weights]
    given_out = [math.floor(part) for part in ideal]
    order = sorted(range(len(ideal)), key=lambda s: (given_out[s] - ideal[s], s))
    for s in order[: slots - sum(given_out)]:
        given_out[s] += 1
    return given_out


def naive_soft(
    segments: list[int], weights: list[float], shares: HostArray, k: int, overshoot: int
) -> tuple[list[int], list[float]]:
    n_tracks = shares.shape[1]
    blend = [
        sum(w * float(shares[s, track]) for s, w in zip(segments, weights, strict=True))
        for track in range(n_tracks)
    ]
    chosen: list[int] = []
    for segment, slots in zip(segments, naive_slots(weights, k + overshoot), strict=True):
        favourites = [track for track in range(n_tracks) if shares[segment, track] > 0]
        favourites.sort(key=lambda track: (-shares[segment, track], track))
        chosen += [track for track in favourites[:slots] if track not in chosen]
    chosen = chosen[:k]
    ranking = sorted(range(n_tracks), key=lambda track: (-blend[track], track))
    chosen += [track for track in ranking if track not in chosen][: k - len(chosen)]
    chosen.sort(key=lambda track: (-blend[track], track))
    return chosen, [blend[track] for track in chosen]


WEIGHTS = {
    1: [[1.0]],
    2: [[0.5, 0.5], [0.75, 0.25], [0.875, 0.125]],
    3: [[0.5, 0.25, 0.25], [0.375, 0.375, 0.25], [0.75, 0.125, 0.125]],
    5: [[0.25, 0.25, 0.25, 0.125, 0.125], [0.5, 0.125, 0.125, 0.125, 0.125]],
}
"""Exact in binary, so that ties are ties."""


def soft(
    engine: Engine,
    segments: HostArray,
    weights: HostArray,
    shares: HostArray,
    k: int,
    overshoot: int,
) -> tuple[HostArray, HostArray]:
    tracks, scores = engine.soft_allocate(
        engine.asarray(segments.astype(np.int32)),
        engine.asarray(weights.astype(np.float32)),
        sparse(engine, shares),
        k,
        overshoot,
    )
    return engine.to_host(tracks), engine.to_host(scores)


@given(
    seed=st.integers(0, 9999),
    n_users=st.sampled_from([1, 9]),
    n=st.sampled_from([1, 2, 3, 5]),
    n_tracks=st.sampled_from([1, 8, 33, 90]),
    overshoot=st.sampled_from([0, 1, 4]),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    data=st.data(),
)
def test_soft_allocation(
    engine: Engine,
    seed: int,
    n_users: int,
    n: int,
    n_tracks: int,
    overshoot: int,
    share: float,
    data: st.DataObject,
) -> None:
    random = np.random.default_rng(seed)
    k = data.draw(st.sampled_from(sorted({1, (n_tracks + 1) // 2, n_tracks})))
    n_segments = n + 2
    shares = random.integers(1, 9, (n_segments, n_tracks)) / 8
    shares *= random.random(shares.shape) < share
    segments = np.array([random.permutation(n_segments)[:n] for _ in range(n_users)])
    weights = np.array([WEIGHTS[n][int(random.integers(len(WEIGHTS[n])))] for _ in range(n_users)])
    tracks, scores = soft(engine, segments, weights, shares, k, overshoot)
    assert types(tracks, scores) == ["int32", "float32"]
    for i in range(n_users):
        wanted = naive_soft(segments[i].tolist(), weights[i].tolist(), shares, k, overshoot)
        assert tracks[i].tolist() == wanted[0]
        assert scores[i].tolist() == wanted[1]


def test_soft_allocation_by_hand(engine: Engine) -> None:
    # Three quarters of four places: tracks 0, 1, 2 of the first segment and 5 of the second.
    shares = np.array([[0.5, 0.5, 0.25, 0.25, 0, 0], [0, 0, 0, 0.5, 0.75, 1.0]])
    tracks, scores = soft(engine, np.array([[0, 1]]), np.array([[0.75, 0.25]]), shares, 4, 0)
    assert tracks.tolist() == [[0, 1, 5, 2]]
    assert scores.tolist() == [[0.375, 0.375, 0.25, 0.1875]]
    # One segment alone has its favourites in its own order.
    tracks, _ = soft(engine, np.array([[1]]), np.array([[1.0]]), shares, 3, 2)
    assert tracks.tolist() == [[5, 4, 3]]


def test_the_blends_best_track_is_nobodys_favourite(engine: Engine) -> None:
    """Both segments like track 0 most, 40 others a little less, and both the last one least."""
    shares = np.zeros((2, 82))
    shares[:, 0], shares[0, 1:41], shares[1, 41:81], shares[:, 81] = 1.0, 0.5, 0.5, 0.375
    segments, weights = np.array([[0, 1]]), np.array([[0.5, 0.5]])
    tracks, scores = soft(engine, segments, weights, shares, 2, 0)
    assert tracks.tolist() == [[0, 81]]
    assert scores.tolist() == [[1.0, 0.375]]


def test_soft_allocation_of_few_favourites_is_filled_from_the_blend(engine: Engine) -> None:
    # The heavy segment knows one track only; its empty places go to the blended ranking, not to
    # the chart (tracks 0, 1, 2).
    shares = np.zeros((2, 9))
    shares[0, 8] = 1.0
    shares[1, 3:8] = [0.125, 0.25, 0.375, 0.5, 0.625]
    tracks, _ = soft(engine, np.array([[0, 1]]), np.array([[0.75, 0.25]]), shares, 4, 0)
    assert tracks.tolist() == [[8, 7, 6, 5]]


def test_soft_allocation_near_the_end_of_the_catalogue(engine: Engine) -> None:
    # Eight slots go 5 and 3, though there are only five tracks.
    shares = np.array([[1.0, 0.875, 0.75, 0.625, 0.125], [0.0, 0.0, 0.0, 0.0, 1.0]])
    tracks, _ = soft(engine, np.array([[0, 1]]), np.array([[0.625, 0.375]]), shares, 4, 4)
    assert sorted(tracks[0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("n_users", [1, 300])
def test_soft_allocation_with_real_weights(engine: Engine, n_users: int) -> None:
    random = np.random.default_rng(n_users)
    shares = random.random((40, 200)) * (random.random((40, 200)) < 0.3)
    segments = np.array([random.permutation(40)[:5] for _ in range(n_users)])
    raw = np.sort(random.random((n_users, 5)) + 0.1, axis=1)[:, ::-1]
    weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    tracks, scores = soft(engine, segments, weights, shares, 50, 4)
    shares32 = shares.astype(np.float32)
    for i in range(n_users):
        wanted, blend = naive_soft(segments[i].tolist(), weights[i].tolist(), shares32, 50, 4)
        assert set(tracks[i].tolist()) == set(wanted)
        assert_allclose(scores[i], blend, rtol=1e-5)
        assert (np.diff(scores[i]) <= 0).all()


# -- drop_seen -------------------------------------------------------------------------------------


@given(seed=st.integers(0, 9999), n=st.integers(1, 8), most=st.sampled_from([0, 1, 7]))
def test_drop_seen(engine: Engine, seed: int, n: int, most: int) -> None:
    random = np.random.default_rng(seed)
    n_tracks, k = 40, 6
    m = k + most
    tracks = np.array([random.permutation(n_tracks)[:m] for _ in range(n)], np.int32)
    scores = np.sort(random.random((n, m)).astype(np.float32), axis=1)[:, ::-1].copy()
    seen = np.zeros((n, n_tracks), np.float32)
    for i in range(n):
        seen[i, random.permutation(n_tracks)[: int(random.integers(0, most + 1))]] = 3
    found, kept = (
        engine.to_host(part)
        for part in engine.drop_seen(
            engine.asarray(tracks), engine.asarray(scores), sparse(engine, seen), k
        )
    )
    assert found.dtype == np.int32
    for i in range(n):
        left = [
            (int(track), float(score))
            for track, score in zip(tracks[i], scores[i], strict=True)
            if not seen[i, track]
        ][:k]
        assert list(zip(found[i].tolist(), kept[i].tolist(), strict=True)) == left


# -- measures --------------------------------------------------------------------------------------


def naive_measures(ranked: list[int], truth: set[int], k: int) -> tuple[float, float, float]:
    hits = [track in truth for track in ranked[:k]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(truth))))
    return sum(hits) / min(k, len(truth)), sum(hits) / len(truth), gain / ideal


@given(
    seed=st.integers(0, 9999),
    n=st.integers(1, 9),
    m=st.sampled_from([1, 10, 50]),
    size=st.sampled_from([1, 5, 60]),
)
def test_rank_metrics(engine: Engine, seed: int, n: int, m: int, size: int) -> None:
    random = np.random.default_rng(seed)
    n_tracks = 70
    tracks = np.array([random.permutation(n_tracks)[:m] for _ in range(n)], np.int32)
    truth = np.zeros((n, n_tracks), np.float32)
    for i in range(n):
        truth[i, random.permutation(n_tracks)[: int(random.integers(1, size + 1))]] = 2.5
    ks = tuple(sorted({1, (m + 1) // 2, m}))
    found = engine.rank_metrics(engine.asarray(tracks), sparse(engine, truth), ks)
    assert found.ks == ks
    for place, k in enumerate(ks):
        for i in range(n):
            wanted = naive_measures(tracks[i].tolist(), set(np.flatnonzero(truth[i]).tolist()), k)
            got = [
                float(engine.to_host(measure[place])[i])
                for measure in (found.precision, found.recall, found.ndcg)
            ]
            assert_allclose(got, wanted, rtol=1e-6)


def test_rank_metrics_by_hand(engine: Engine) -> None:
    tracks = engine.asarray(np.array([[4, 0, 2], [0, 1, 2], [3, 4, 5]], np.int32))
    truth = np.zeros((3, 6))
    truth[0, [0, 3]] = truth[1, [0, 1, 2, 3]] = truth[2, 0] = 1
    found = engine.rank_metrics(tracks, sparse(engine, truth), (3, 1))
    host = {
        name: [engine.to_host(values) for values in getattr(found, name)]
        for name in ("precision", "recall", "ndcg")
    }
    assert_allclose(host["precision"][0], [1 / 2, 1, 0])
    assert_allclose(host["recall"][0], [1 / 2, 3 / 4, 0])
    second = 1 / math.log2(3)
    assert_allclose(host["ndcg"][0], [second / (1 + second), 1, 0], rtol=1e-6)
    assert_array_equal(host["precision"][1], [0, 1, 0])
    assert_array_equal(host["recall"][1], [0, 1 / 4, 0])
    assert_array_equal(host["ndcg"][1], [0, 1, 0])


def test_rank_metrics_of_a_whole_catalogue(engine: Engine) -> None:
    """Lists as long as a catalogue, of which one bit a track would not fit into shared memory."""
    m = 60_000
    tracks = np.random.default_rng(5).permutation(m).astype(np.int32)[None]
    truth = np.zeros((1, m), np.float32)
    truth[0, tracks[0, [0, 40, 31_000, m - 1]]] = 1
    found = engine.rank_metrics(engine.asarray(tracks), sparse(engine, truth), (100, m))
    recall = [engine.to_host(values).item() for values in found.recall]
    ndcg = [engine.to_host(values).item() for values in found.ndcg]
    assert recall == [1 / 2, 1]
    wanted = set(np.flatnonzero(truth[0]).tolist())
    assert_allclose(ndcg, [naive_measures(tracks[0].tolist(), wanted, k)[2] for k in (100, m)])


def test_no_measure_exceeds_one(engine: Engine) -> None:
    """Perfect lists of every length, where rounding would lift NDCG an ulp above 1."""
    longest = 100
    tracks = np.tile(np.arange(longest, dtype=np.int32), (longest, 1))
    truth = sparse(engine, np.tril(np.ones((longest, longest))))
    found = engine.rank_metrics(engine.asarray(tracks), truth, range(1, longest + 1))
    for name in ("precision", "recall", "ndcg"):
        values = np.array([engine.to_host(each) for each in getattr(found, name)])
        assert values.max() == 1
        assert values.min() > 0
    assert_allclose(engine.to_host(found.ndcg[-1]), np.ones(longest), rtol=1e-14)
