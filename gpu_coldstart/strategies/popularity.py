"""Popularity: the chart, the same for everyone (4.1.3)."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy, most_popular

__all__ = ["Popularity"]


class Popularity(Strategy):
    """The tracks that most warm users streamed; scores as ``segments.popularity`` says."""

    name = "popularity"

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return most_popular(self.situation, len(users), k)
