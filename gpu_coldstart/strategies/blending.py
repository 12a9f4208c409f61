"""What a strategy made of others has learned, for people to judge it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from gpu_coldstart.engine.base import Array, HostArray
from gpu_coldstart.strategies.discovery import TradeOff

__all__ = ["Blending", "Expert", "Part", "Weighed"]


class Expert(NamedTuple):
    """A strategy that could be blended: what NDCG lost without it, and whether it was kept."""

    name: str
    added: float
    kept: bool


class Part(NamedTuple):
    """What scores are made of, by ``kind`` and ``name``: an expert, popularity, a signal."""

    kind: str
    name: str


class Weighed(NamedTuple):
    """A number that lists are ordered by, of a part: of its score, of its rank or a count."""

    part: Part
    feature: str


@dataclass(frozen=True)
class Blending:
    """What was learned of experts, from validation users.

    Attributes
    ----------
    experts : tuple of Expert
        In the order in which they were tried.
    taught : tuple of (int, float)
        Numbers of validation users, and the NDCG that the blend comes to as so many teach it.
    single : float
        NDCG of the best expert alone.
    weighed : tuple of Weighed
    weights : Array [weighed] of float32
        How much each counts.
    trade_off : TradeOff
    """

    experts: tuple[Expert, ...]
    taught: tuple[tuple[int, float], ...]
    single: float
    weighed: tuple[Weighed, ...]
    weights: Array
    trade_off: TradeOff

    def on(self, host: Callable[[Array], HostArray]) -> Blending:
        """The same with arrays on the host."""
        made = self.trade_off
        lists = replace(
            made, users=host(made.users), tracks=host(made.tracks), ndcg=host(made.ndcg)
        )
        return replace(self, weights=host(self.weights), trade_off=lists)
