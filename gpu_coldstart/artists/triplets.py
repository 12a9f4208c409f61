"""Triplets of tracks: two of an artist and one of another, who may be of the same genre."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine.types import HostArray

__all__ = ["Triplets"]


class Triplets:
    """Draws triplets, with the genre as the side information of the negatives.

    An anchor's artist is drawn among those with two tracks or more, all alike; anchor and positive
    are any two tracks of that artist. With the probability ``same_genre`` the negative's artist is
    drawn among the others with a track of the anchor's genre, and the negative among their tracks
    of it; else, and where there is no such artist or genre, among all others and all their tracks.

    Parameters
    ----------
    artists : HostArray [tracks] of int64
        Numbers from 0; of two artists or more, at least one has two tracks.
    genres : HostArray [tracks] of int64
        Numbers from 0; -1 for none.
    same_genre : float
    """

    def __init__(self, artists: HostArray, genres: HostArray, same_genre: float):
        self._same_genre = same_genre
        # A track without a genre is the only one of its own.
        alone = genres.max(initial=-1) + 1 + np.arange(len(genres))
        self._everywhere = _Groups(np.zeros_like(artists), artists)
        self._in_genre = _Groups(np.where(genres < 0, alone, genres), artists)

    def draw(self, n: int, random: np.random.Generator) -> tuple[HostArray, HostArray, HostArray]:
        """Anchors, positives and negatives [n] of int64: numbers of tracks."""
        anchors, positives = self._everywhere.pairs(n, random)
        by_genre = random.random(n) < self._same_genre
        by_genre &= self._in_genre.has_others(anchors)
        negatives = np.empty_like(anchors)
        for groups, which in ((self._in_genre, by_genre), (self._everywhere, ~by_genre)):
            negatives[which] = groups.others(anchors[which], random)
        return anchors, positives, negatives


class _Groups:
    """Groups of tracks, in each of which the tracks of an artist are a cell.

    Parameters
    ----------
    groups, artists : HostArray [tracks] of int64
    """

    def __init__(self, groups: HostArray, artists: HostArray):
        self._tracks = np.lexsort((artists, groups))
        pairs = np.stack([groups, artists])[:, self._tracks]
        first = np.concatenate([[True], (np.diff(pairs) != 0).any(axis=0)])
        self._starts = np.flatnonzero(first)
        self._sizes = np.diff(self._starts, append=len(groups))
        self._cell = np.empty_like(artists)
        self._cell[self._tracks] = np.cumsum(first) - 1
        group_of = pairs[0, self._starts]
        self._bounds = np.searchsorted(group_of, groups), np.searchsorted(group_of, groups, "right")

    def pairs(self, n: int, random: np.random.Generator) -> tuple[HostArray, HostArray]:
        """Two different tracks of a cell that has them, all such cells alike."""
        cells = random.choice(np.flatnonzero(self._sizes > 1), n)
        sizes = self._sizes[cells]
        one = random.integers(sizes)
        other = random.integers(sizes - 1)
        other += other >= one
        return self._tracks[self._starts[cells] + one], self._tracks[self._starts[cells] + other]

    def has_others(self, tracks: HostArray) -> HostArray:
        """Which tracks have another cell in their group [n] of bool."""
        first, last = (bound[tracks] for bound in self._bounds)
        return last - first > 1

    def others(self, tracks: HostArray, random: np.random.Generator) -> HostArray:
        """For each track one of another cell in its group, all such cells alike."""
        first, last = (bound[tracks] for bound in self._bounds)
        cells = random.integers(first, last - 1)
        cells += cells >= self._cell[tracks]
        places: HostArray = self._starts[cells] + random.integers(self._sizes[cells])
        return np.asarray(self._tracks[places])
