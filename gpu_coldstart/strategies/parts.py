"""What lifts a blend's list above other candidates: experts, popularity, own signals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.blending import Part, Weighed
from gpu_coldstart.strategies.candidates import OWN, Candidates

__all__ = ["parts", "shares_of_parts", "weighed"]

_NOTHING = 1e-6
"""A lift below this share of its parts is but rounding."""


def parts(experts: Iterable[str]) -> tuple[Part, ...]:
    """The parts of a blend of experts of these labels, in the order of its features."""
    return (
        *(Part("expert", label) for label in experts),
        Part("popularity", "popularity"),
        *(Part("signal", name) for name in OWN),
    )


def weighed(experts: Iterable[str]) -> tuple[Weighed, ...]:
    """What the features of candidates are, as in :class:`Candidates`, of experts of these labels.

    Examples
    --------
    >>> [f"{part.name} {feature}" for part, feature in weighed(["Ridge"])][:4]
    ['Ridge score', 'Ridge rank', 'popularity rank', 'favorite_songs count']
    """
    features = {"expert": ("score", "rank"), "popularity": ("rank",), "signal": ("count",)}
    return tuple(
        Weighed(part, feature) for part in parts(experts) for feature in features[part.kind]
    )


def shares_of_parts(
    xp: Any, found: Candidates, weights: Array, tracks: Array, n_tracks: int
) -> Array:
    """Each part's share in how far a list's scores lie above those of all candidates.

    Scores are sums over features. So is the mean score of the listed tracks less that of the user's
    candidates, and the features of a part add up to what it lifts the list by. A part that speaks
    for other candidates has a negative share.

    Parameters
    ----------
    weights : Array [f] of floats
        Of the features.
    tracks : Array [users, k] of int32
        The lists; what is no candidate does not count.
    n_tracks : int
        Of the catalogue.

    Returns
    -------
    Array [users, parts] of float64
        A row adds up to 1, or is null where the list lies no higher.
    """
    n_experts = found.listed.shape[2] - 1
    listed = found.allowed & _among(xp, found.tracks, tracks, n_tracks)
    lifts = (_means(found, listed) - _means(found, found.allowed)) * weights.astype(xp.float64)
    of_experts = lifts[:, : 2 * n_experts].reshape(len(tracks), n_experts, 2).sum(axis=2)
    lifts = xp.concatenate([of_experts, lifts[:, 2 * n_experts :]], axis=1)
    total = lifts.sum(axis=1, keepdims=True)
    lifted = total > _NOTHING * xp.abs(lifts).sum(axis=1, keepdims=True)
    return xp.where(lifted, lifts / xp.where(lifted, total, 1), 0)


def _means(found: Candidates, which: Array) -> Array:
    """Means [users, f] of float64 of the features of some of the candidates [users, m]."""
    n = which.sum(axis=1, keepdims=True)
    return (found.features * which[:, :, None]).sum(axis=1, dtype="float64") / (n + (n == 0))


def _among(xp: Any, candidates: Array, tracks: Array, n_tracks: int) -> Array:
    """Which candidates [users, m] are among the user's tracks [users, k]."""
    rows = xp.arange(len(tracks))[:, None] * n_tracks
    keys = xp.sort((rows + tracks).ravel())
    queries = (rows + candidates).ravel()
    found = xp.minimum(xp.searchsorted(keys, queries), len(keys) - 1)
    return (keys[found] == queries).reshape(candidates.shape)
