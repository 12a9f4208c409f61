"""What is recommended at all: popularity and spread of the recommended tracks (Figure 5).

Tracks are numbered by popularity, so a track's rank is its number plus one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.groups import EVERYWHERE, everywhere

__all__ = ["exposure", "gini", "novelty", "ranks_of"]

_PERCENTILES = (5, 25, 50, 75, 95)
_TOPS = (100, 1000, 5000)


def ranks_of(recommended: HostArray, track_ids: HostArray) -> HostArray:
    """Popularity ranks of recommended track ids, 1 the most popular, in the same shape.

    Parameters
    ----------
    recommended : HostArray of int64
        All of them in ``track_ids``.
    track_ids : HostArray [tracks] of int64
        Most popular first.
    """
    order = np.argsort(track_ids, kind="stable")
    ranks: HostArray = order[np.searchsorted(track_ids[order], recommended)] + 1
    return ranks


def gini(counts: HostArray) -> float:
    """Gini coefficient of counts [n]: 0 where all are equal, 1 - 1/n where one has everything.

    Half the mean absolute difference of two counts, relative to their mean.

    Examples
    --------
    >>> import numpy as np
    >>> gini(np.array([3, 3])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, total = len(counts), int(counts.sum())
    if not total:
        return 0.0
    ascending = np.sort(counts).astype(np.float64)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total))


def novelty(recommended: HostArray, popularity: HostArray, n_warm: int) -> float:
    """Mean of -log2 of the share of warm users who streamed a recommended track, in bits.

    The share is smoothed as if one more warm user had streamed every track,
    ``(streamed + 1) / (warm users + 1)``, so that a track nobody streamed has
    ``log2(warm users + 1)`` bits and one that everybody streamed has none.

    Parameters
    ----------
    recommended : HostArray [n] of integers
        How often each of the n tracks is recommended.
    popularity : HostArray [n] of integers
        Warm users who streamed it.
    """
    bits = -np.log2((popularity.astype(np.float64) + 1) / (n_warm + 1))
    return float(recommended @ bits / recommended.sum())


def exposure(
    ranks: HostArray,
    popularity: HostArray,
    n_warm: int,
    country: tuple[HostArray, tuple[str, ...]],
) -> Iterator[dict[str, Any]]:
    """How popular the recommended tracks are, for everybody and by country.

    Parameters
    ----------
    ranks : HostArray [users, K] of integers
        Popularity ranks of each user's recommended tracks.
    popularity : HostArray [tracks] of integers
        Warm users who streamed each track, most popular first.
    country : (HostArray [users] of integers, names)
        Code of each user among the names, -1 where unknown.

    Yields
    ------
    dict
        A row for all users, with ``coverage``, ``gini`` and ``novelty``, and one for each of the
        ten commonest countries, where these are None.
    """
    counts = np.bincount(ranks.ravel() - 1, minlength=len(popularity))
    whole = {
        "coverage": float((counts > 0).mean()),
        "gini": gini(counts),
        "novelty": novelty(counts, popularity, n_warm),
    }
    for name, members in everywhere(*country):
        rest = whole if name == EVERYWHERE else dict.fromkeys(whole)
        yield {"country": name, **_popularity_of(ranks[members]), **rest}


def _popularity_of(ranks: HostArray) -> dict[str, Any]:
    """Percentiles, mean and shares of the ranks [users, K]."""
    percentiles = np.percentile(ranks, _PERCENTILES)
    return {
        "users": len(ranks),
        **{f"p{p}": float(rank) for p, rank in zip(_PERCENTILES, percentiles, strict=True)},
        "mean": float(ranks.mean()),
        **{f"share_top_{top}": float((ranks <= top).mean()) for top in _TOPS},
    }
