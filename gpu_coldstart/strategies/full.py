"""Fully personalised: the tracks nearest to the predicted embedding (3.2.4)."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy, retrieve

__all__ = ["FullyPersonalized"]


class FullyPersonalized(Strategy):
    """Nearest tracks by cosine (the paper) or inner product (the release); scores are those."""

    name = "full"

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return retrieve(self.situation, self.situation.predicted(users), k)
