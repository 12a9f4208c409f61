"""Triplets are drawn by the stated law."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from gpu_coldstart.artists.triplets import Triplets

ARTISTS = np.array([0, 1, 0, 2, 1, 0, 3, 2, 2, 4])
GENRES = np.array([0, 0, 0, 0, 1, 1, 2, -1, -1, 0])


def law(same_genre: float) -> dict[tuple[int, int, int], float]:
    """Probability of every triplet, case by case."""
    tracks = range(len(ARTISTS))
    several = [artist for artist in set(ARTISTS) if (artist == ARTISTS).sum() > 1]
    shares: dict[tuple[int, int, int], float] = {}
    for artist in several:
        own = [track for track in tracks if ARTISTS[track] == artist]
        for anchor, positive in permutations(own, 2):
            pair = 1 / len(several) / (len(own) * (len(own) - 1))
            others = [track for track in tracks if ARTISTS[track] != artist]
            near = [
                track for track in others if GENRES[track] == GENRES[anchor] and GENRES[track] >= 0
            ]
            for chance, pool in ((same_genre, near or others), (1 - same_genre, others)):
                for negative in pool:
                    theirs = [track for track in pool if ARTISTS[track] == ARTISTS[negative]]
                    of = len({ARTISTS[track] for track in pool})
                    key = (anchor, positive, negative)
                    shares[key] = shares.get(key, 0) + pair * chance / of / len(theirs)
    return {key: share for key, share in shares.items() if share}


@pytest.mark.parametrize("same_genre", [0.0, 0.4, 1.0])
def test_law(same_genre: float) -> None:
    n, shares = 40_000, law(same_genre)
    assert sum(shares.values()) == pytest.approx(1)
    drawn = Triplets(ARTISTS, GENRES, same_genre).draw(n, np.random.default_rng(3))
    counts = Counter(zip(*(each.tolist() for each in drawn), strict=True))
    assert counts.keys() <= shares.keys()
    met = [counts[key] for key in shares]
    assert stats.chisquare(met, [n * share for share in shares.values()]).pvalue > 1e-3


def test_without_genres_all_others_are_alike() -> None:
    nowhere = np.full_like(GENRES, -1)
    one, other = (
        Triplets(ARTISTS, genres, 1.0).draw(500, np.random.default_rng(0))[2]
        for genres in (nowhere, np.zeros_like(GENRES))
    )
    assert set(one.tolist()) == set(other.tolist()) == set(range(len(ARTISTS)))
