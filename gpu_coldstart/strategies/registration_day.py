"""Registration Day Streams: neighbours of what was played on the first day (4.1.3)."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy, most_popular, retrieve

__all__ = ["RegistrationDay"]


class RegistrationDay(Strategy):
    """Nearest tracks to the mean of the tracks streamed on registration day.

    Users without a stream, or whose tracks have no place in the space, get the most popular
    tracks, as the paper states. The public release leaves them with scores of 0 for every track
    (``strategies.registration_day_fallback = "none"``), so that its order of equals decides; by
    the one tie rule here that is the chart as well, only its scores are 0.
    """

    name = "registration-day"

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        situation, xp = self.situation, self.situation.engine.xp
        queries = situation.inputs.signal("streamed_songs", users)
        found = retrieve(situation, queries, k)
        if situation.config.strategies.registration_day_fallback == "none":
            return found
        chart = most_popular(situation, len(users), k)
        placed = (queries != 0).any(axis=1)[:, None]
        return Ranking(
            xp.where(placed, found.tracks, chart.tracks),
            xp.where(placed, found.scores, chart.scores),
        )
