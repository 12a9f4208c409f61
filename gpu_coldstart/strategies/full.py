"""Fully personalised: the tracks nearest to the predicted embedding (3.2.4)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.strategies.base import Context, Ranking, Retriever, Strategy, Users

__all__ = ["FullyPersonalized"]


class FullyPersonalized(Strategy):
    """Nearest tracks to the prediction, by cosine (the paper) or inner product (the release).

    That is the score.
    """

    name = "full"
    label = "Full-Pers."

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, context.tracks, context.similarity)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return Ranking(*self._retriever.rank(users.predicted, k))
