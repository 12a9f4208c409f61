"""Tracks and playlists of each segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.segment_table import playlist_probabilities, segment_table, top

DESCRIBED: dict[str, list[Any]] = {
    "segment": [0, 1, 2],
    "size": [4, 4, 2],
    "country": ["FR", None, "BR"],
    "age_class": [None, "18-24", "18-24"],
    "genres": [["rap"], [], ["pop", "rock"]],
}


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=12), st.integers(1, 5))
def test_top_is_the_first_of_all_in_order(values: list[float], n: int) -> None:
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    wanted = [i for i in order if values[i] > 0][:n]
    assert top(np.array(values), n).tolist() == wanted


def matrix(rows: list[list[int]], columns: int) -> sparse.csr_array:
    """Ones at the columns of each row."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([column for row in rows for column in row], np.int64)
    return sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(rows), columns))


def made(segments: int, tracks: int, playlists: int) -> tuple[HostArray, list[list[int]]]:
    random = np.random.default_rng(segments)
    shares = (
        random.integers(0, 5, (segments, tracks)) / 4 * (random.random((segments, tracks)) < 0.5)
    )
    lists = [
        sorted(random.choice(tracks, random.integers(0, 6), replace=False).tolist())
        for _ in range(playlists)
    ]
    return shares.astype(np.float32), lists


@pytest.mark.parametrize(("segments", "least"), [(3, 1), (70, 1), (3, 4)])
def test_naively_the_same(segments: int, least: int) -> None:
    """Also where segments are done in several blocks."""
    shares, lists = made(segments, 30, 25)
    track_ids, playlist_ids = np.arange(30) * 7 - 40, np.arange(25) * 3 + 100
    described = {name: (column * segments)[:segments] for name, column in DESCRIBED.items()}
    rows = segment_table(
        described,
        sparse.csr_array(shares),
        track_ids,
        matrix(lists, 30),
        playlist_ids,
        least_tracks=least,
    )
    assert len(rows) == segments
    for segment, row in enumerate(rows):
        assert {name: row[name] for name in described} == {
            name: column[segment] for name, column in described.items()
        }
        probability = [float(share) for share in shares[segment]]
        tracks = sorted(range(30), key=lambda t: (-probability[t], t))[:5]
        assert row["track_ids"] == [int(track_ids[t]) for t in tracks if probability[t]]
        assert row["track_probabilities"] == [probability[t] for t in tracks if probability[t]]
        means = [
            sum(probability[t] for t in one) / len(one) if len(one) >= least else 0 for one in lists
        ]
        best = sorted(range(25), key=lambda p: (-means[p], p))[:3]
        assert row["playlist_ids"] == [int(playlist_ids[p]) for p in best if means[p]]
        assert_allclose(row["playlist_probabilities"], [means[p] for p in best if means[p]])


def test_without_playlists() -> None:
    shares, _ = made(3, 30, 0)
    rows = segment_table(
        DESCRIBED,
        sparse.csr_array(shares),
        np.arange(30),
        sparse.csr_array((0, 30)),
        np.zeros(0, np.int64),
        least_tracks=10,
    )
    assert [row["playlist_ids"] for row in rows] == [[], [], []]
    assert all(len(row["track_ids"]) == 5 for row in rows)


def test_a_segment_that_knows_few_tracks_names_few() -> None:
    shares = np.zeros((3, 8), np.float32)
    shares[0, 5] = 0.5
    rows = segment_table(
        DESCRIBED,
        sparse.csr_array(shares),
        np.arange(8),
        matrix([[5, 6], [7]], 8),
        np.array([1, 2]),
        least_tracks=1,
    )
    assert (rows[0]["track_ids"], rows[0]["playlist_ids"]) == ([5], [1])
    assert rows[0]["playlist_probabilities"] == [0.25]
    assert (rows[1]["track_ids"], rows[1]["playlist_ids"]) == ([], [])


def test_an_empty_playlist_has_no_probability() -> None:
    found = playlist_probabilities(matrix([[], [0, 1]], 3), np.array([[1.0], [0.5], [1.0]]))
    assert found.tolist() == [[0.0], [0.75]]
