"""Fully personalised: the tracks nearest to the predicted embedding (3.2.4)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Ranking, Strategy, Users, highest

__all__ = ["FullyPersonalized"]


class FullyPersonalized(Strategy):
    """Nearest tracks to the prediction, by cosine (the paper) or inner product (the release).

    That is the score. In a space with relations, tracks are scored by the user's relation to each,
    in which what the user streamed that day takes part.
    """

    name = "full"
    label = "Full-Pers."

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, context.tracks, context.similarity)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        if self.context.relations is None:
            return Ranking(*self._retriever.rank(users.predicted, k))
        context, engine, relations = self.context, self.context.engine, self.context.relations

        def top(some: slice) -> tuple[Array, Array]:
            part = users.take(some)
            streamed = part.streamed(context)
            scores = relations.scores(engine, context.tracks, part.predicted, streamed)
            return highest(engine.xp, scores, k)

        return Ranking(*by_batches(engine.xp, len(users), top, size=engine.users_at_once))
