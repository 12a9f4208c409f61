"""Trading a blend's accuracy for discovery, and what validation users get at each trade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_coldstart.engine.base import Array

__all__ = ["DIALS", "TradeOff", "by_rank", "turned"]

DIALS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Values of ``discovery`` that are tried, from accuracy alone to little of it."""


@dataclass(frozen=True)
class TradeOff:
    """What validation users get at several values of ``discovery``.

    Attributes
    ----------
    users : Array [n] of integers
        Places of these among the validation users.
    tracks : Array [dials, n, k] of int32
        Their lists, best first.
    ndcg : Array [dials, n] of float32
        How good these are.
    dials : tuple of float
    """

    users: Array
    tracks: Array
    ndcg: Array
    dials: tuple[float, ...] = DIALS

    def of_nobody(self) -> TradeOff:
        """The same without users."""
        return TradeOff(self.users[:0], self.tracks[:, :0], self.ndcg[:, :0], self.dials)


def turned(weights: Array, n_experts: int, discovery: float) -> Array:
    """The weights [..., f] of a blend that trades popularity for discovery.

    ``discovery * log(rank)`` more of a score is as much less of the weight of ``-log(rank)``, the
    feature that stands after those of the experts.

    Examples
    --------
    >>> import numpy as np
    >>> turned(np.array([3.0, 2.0, 0.5, 4.0]), 1, 0.25)
    array([3.  , 2.  , 0.25, 4.  ])
    """
    changed = weights.copy()
    changed[..., 2 * n_experts] -= discovery
    return changed


def by_rank(xp: Any, n_features: int) -> Array:
    """Weights [f] of float64 of the blend that lists what its only expert lists.

    The odds that the user takes a track are then as one divided by its rank.
    """
    weights = xp.zeros(n_features)
    weights[1] = 1
    return weights
