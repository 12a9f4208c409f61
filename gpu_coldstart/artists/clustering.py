"""The tracks of one who may be several artists, clustered by their places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from gpu_coldstart.artists.measures import adjusted_rand_index
from gpu_coldstart.engine.types import HostArray

__all__ = ["clusters", "divided", "fit_threshold", "merged"]

_THRESHOLDS = 32
_MOST_MERGED = 3


def clusters(places: HostArray, threshold: float, least: int = 1) -> HostArray:
    """Average-linkage clusters whose mean distance to each other exceeds a threshold.

    Parameters
    ----------
    places : HostArray [tracks, d] of float32
    threshold : float
    least : int
        A cluster of fewer tracks joins the nearest of the others, by the means of their places.

    Returns
    -------
    HostArray [tracks] of int64
        From 0, the largest; of two of a size, first that of the earlier track.

    Examples
    --------
    >>> clusters(np.array([[0.0], [5.0], [5.1], [9.0]]), threshold=1.0).tolist()
    [1, 0, 0, 2]
    >>> clusters(np.array([[0.0], [5.0], [5.1], [9.0]]), threshold=1.0, least=2).tolist()
    [0, 0, 0, 0]
    """
    return _by_size(_joined(places, _cut(_tree(places), len(places), threshold), least))


def divided(places: HostArray, n: int) -> HostArray:
    """At most ``n`` average-linkage clusters, for those who know how many there are.

    Returns
    -------
    HostArray [tracks] of int64

    Examples
    --------
    >>> divided(np.array([[0.0], [5.0], [5.1], [9.0]]), 2).tolist()
    [1, 0, 0, 0]
    """
    if len(places) < 2:
        return np.zeros(len(places), np.int64)
    return _by_size(fcluster(_tree(places), n, "maxclust").astype(np.int64) - 1)


def _tree(places: HostArray) -> HostArray:
    return linkage(places, "average") if len(places) > 1 else np.zeros((0, 4))


def _cut(tree: HostArray, n: int, threshold: float) -> HostArray:
    """Numbers of clusters [n] from 0."""
    if n < 2:
        return np.zeros(n, np.int64)
    return fcluster(tree, threshold, "distance").astype(np.int64) - 1


def _joined(places: HostArray, parts: HostArray, least: int) -> HostArray:
    sizes = np.bincount(parts)
    large, small = np.flatnonzero(sizes >= least), np.flatnonzero(sizes < least)
    if not len(large):
        return np.zeros_like(parts)
    means = np.stack([places[parts == part].mean(axis=0) for part in range(len(sizes))])
    joined = np.arange(len(sizes))
    for part in small:
        joined[part] = large[((means[large] - means[part]) ** 2).sum(axis=1).argmin()]
    return joined[parts]


def _by_size(parts: HostArray) -> HostArray:
    _, first, inverse, sizes = np.unique(
        parts, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty_like(sizes)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[inverse].astype(np.int64)


def fit_threshold(groups: Sequence[tuple[HostArray, HostArray]]) -> float:
    """The threshold with the largest mean adjusted Rand index over groups of tracks.

    Groups of one artist count as much, all together, as those of two, and those of more.

    Parameters
    ----------
    groups : sequence of (places, artists)
        Places [tracks, d] of float32, and artists [tracks] of int64, of one or several as one.
    """
    trees = [_tree(places) for places, _ in groups]
    heights = np.unique(np.concatenate([tree[:, 2] for tree in trees]))
    between = (heights[1:] + heights[:-1]) / 2
    tried = np.concatenate([heights[:1] / 2, between, heights[-1:] * 2])
    if len(tried) > _THRESHOLDS:
        tried = tried[np.linspace(0, len(tried) - 1, _THRESHOLDS).astype(int)]
    scores: dict[int, list[HostArray]] = {}
    for tree, (_, artists) in zip(trees, groups, strict=True):
        scores.setdefault(len(np.unique(artists)), []).append(_scores(tree, artists, tried))
    mean = np.mean([np.mean(each, axis=0) for each in scores.values()], axis=0)
    return float(tried[int(np.argmax(mean))])


def _scores(tree: HostArray, artists: HostArray, tried: HostArray) -> HostArray:
    """Adjusted Rand index at each threshold; those that cut the tree alike are looked at once."""
    joins = np.searchsorted(tree[:, 2], tried, side="right")
    _, first, which = np.unique(joins, return_index=True, return_inverse=True)
    cuts = (_cut(tree, len(artists), threshold) for threshold in tried[first])
    return np.array([adjusted_rand_index(artists, parts) for parts in cuts])[which]


def merged(artists: HostArray, n: int, random: np.random.Generator) -> list[HostArray]:
    """Pseudo-homonyms: the tracks of one, two or three artists as if they were one's.

    Parameters
    ----------
    artists : HostArray [tracks] of int64
        Numbers from 0, all there.
    n : int
        How many to draw: of one artist, of two and of three alike. Those that were drawn before
        are left out.

    Returns
    -------
    list of HostArray of int64
        Numbers of tracks.
    """
    known = int(artists.max()) + 1
    drawn = {
        tuple(sorted(random.choice(known, min(place % _MOST_MERGED + 1, known), replace=False)))
        for place in range(n)
    }
    return [np.flatnonzero(np.isin(artists, chosen)) for chosen in sorted(drawn)]
