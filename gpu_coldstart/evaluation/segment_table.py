"""Who is in a segment, and what is recommended to it: tracks and playlists (Table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["playlist_probabilities", "segment_table", "top"]

_TRACKS = 5
_PLAYLISTS = 3
_AT_ONCE = 16
"""Segments whose dense probabilities are held at once: [tracks, 16] and [playlists, 16], few
enough for a processor's cache."""


def top(values: HostArray, n: int) -> HostArray:
    """Indices of the n largest positive values [m], best first; ties go to the smaller index.

    Examples
    --------
    >>> import numpy as np
    >>> top(np.array([0.5, 0.0, 0.7, 0.5]), 3).tolist()
    [2, 0, 3]
    """
    least = np.partition(values, -n)[-n] if len(values) > n else 0.0
    places = np.flatnonzero(values >= least if least > 0 else values > 0)
    chosen: HostArray = places[np.argsort(-values[places], kind="stable")][:n]
    return chosen


def playlist_probabilities(playlists: sparse.csr_array, shares: HostArray) -> HostArray:
    """Mean probability of each playlist's tracks in some segments [playlists, segments].

    A playlist without tracks has 0.

    Parameters
    ----------
    playlists : csr_array [playlists, tracks] of ones
    shares : HostArray [tracks, segments] of float64
    """
    sizes = np.diff(playlists.indptr)
    means: HostArray = (playlists @ shares) / np.maximum(sizes, 1)[:, None]
    return means


def segment_table(
    described: Mapping[str, Sequence[Any]],
    shares: sparse.csr_array,
    track_ids: HostArray,
    playlists: sparse.csr_array,
    playlist_ids: HostArray,
    *,
    least_tracks: int,
) -> list[dict[str, Any]]:
    """A row for each segment.

    Parameters
    ----------
    described : mapping
        Columns of :func:`gpu_coldstart.segments.describe`.
    shares : csr_array [segments, tracks] of float32
        Share of the members who streamed the track.
    track_ids : HostArray [tracks] of int64
        Most popular first, so that ties go to the more popular track.
    playlists : csr_array [playlists, tracks] of ones
    playlist_ids : HostArray [playlists] of int64
        Ascending.
    least_tracks : int
        Shorter playlists are not named. A mean over a few tracks strays far from the mean of all,
        so that the best of many playlists would too often be among the shortest.
    """
    long = np.diff(playlists.indptr) >= least_tracks
    playlists, playlist_ids = playlists[long], playlist_ids[long]
    shares = shares.astype(np.float64)
    shares.sort_indices()
    rows: list[dict[str, Any]] = [{}] * shares.shape[0]

    def work(start: int, stop: int) -> None:
        some = shares[start:stop]
        scores = playlist_probabilities(playlists, some.T.toarray(order="C"))
        for i, mine in enumerate(np.ascontiguousarray(scores.T)):
            known = slice(some.indptr[i], some.indptr[i + 1])
            probabilities = some.data[known]
            tracks, lists = top(probabilities, _TRACKS), top(mine, _PLAYLISTS)
            rows[start + i] = {
                **{name: column[start + i] for name, column in described.items()},
                "track_ids": track_ids[some.indices[known][tracks]].tolist(),
                "track_probabilities": probabilities[tracks].tolist(),
                "playlist_ids": playlist_ids[lists].tolist(),
                "playlist_probabilities": mine[lists].tolist(),
            }

    over_rows(len(rows), _AT_ONCE, work)
    return rows
