"""Registration Day Streams: neighbours of what was played on the first day (4.1.3)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.config.components import RegistrationDayConfig
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Ranking, Strategy, Users

__all__ = ["RegistrationDay"]


class RegistrationDay(Strategy):
    """Nearest tracks to the mean of the tracks streamed on registration day.

    Users without a stream, or whose tracks have no place in the space, get the most popular
    tracks, as the paper states. The public release leaves them with scores of 0 for every track
    (``strategies.registration_day_fallback = "none"``), so that its order of equals decides; by
    the one tie rule here that is the chart as well, only its scores are 0.
    """

    name = "registration-day"
    label = "Registration Day Streams"
    uses_prediction = False

    Parameters = RegistrationDayConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, context.tracks, context.similarity)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        ranking = self.context.most_popular(len(users), k)
        if self.parameters.fallback == "none":
            ranking.scores[:] = 0
        queries = users.signal("streamed_songs")
        placed = self.context.engine.xp.flatnonzero((queries != 0).any(axis=1))
        ranking.tracks[placed], ranking.scores[placed] = self._retriever.rank(queries[placed], k)
        return ranking
