"""Ways to recommend, one file each; further ones are added to ``STRATEGIES``."""

from __future__ import annotations

from collections.abc import Callable

from gpu_coldstart.engine.base import Array
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import streamed_on_day_one
from gpu_coldstart.strategies.base import Ranking, Situation, Strategy
from gpu_coldstart.strategies.full import FullyPersonalized
from gpu_coldstart.strategies.input_features import InputFeatures
from gpu_coldstart.strategies.popularity import Popularity
from gpu_coldstart.strategies.registration_day import RegistrationDay
from gpu_coldstart.strategies.semi import SemiPersonalized
from gpu_coldstart.strategies.soft import SoftAllocation

__all__ = ["STRATEGIES", "Ranking", "Situation", "Strategy", "recommend"]

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (
        Popularity,
        RegistrationDay,
        InputFeatures,
        FullyPersonalized,
        SemiPersonalized,
        SoftAllocation,
    )
}
"""Every strategy by name."""

_BATCH = 8192
"""Users ranked at once, which bounds memory whatever their number."""


def recommend(
    strategy: Strategy,
    users: Array,
    k: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranking:
    """Rank ``k`` tracks for each user, leaving out what they know if so configured.

    Parameters
    ----------
    users : Array [n] of integers
        Cold users, by number.
    progress : callable
        Called with the number of users done so far.

    Raises
    ------
    UserError
        When a user has seen so much that ``k`` unseen tracks are not left.
    """
    xp = strategy.situation.engine.xp
    parts = []
    for start in range(0, len(users), _BATCH):
        batch = users[start : start + _BATCH]
        parts.append(_recommend(strategy, batch, k))
        progress(start + len(batch))
    return Ranking(
        xp.concatenate([part.tracks for part in parts]),
        xp.concatenate([part.scores for part in parts]),
    )


def _recommend(strategy: Strategy, users: Array, k: int) -> Ranking:
    """One batch; with ``exclude_seen``, a longer list is ranked and then thinned."""
    situation = strategy.situation
    if not situation.config.strategies.exclude_seen:
        return strategy.recommend(users, k)
    engine, logs = situation.engine, situation.logs
    # The longest of all cold users, not of this batch: soft allocation depends on the length.
    cold = engine.xp.arange(logs.n_warm, logs.n_users)
    most = int(engine.xp.diff(streamed_on_day_one(engine, logs, cold).indptr).max())
    if k + most > logs.n_tracks:
        raise UserError(
            f"a user streamed {most} tracks on registration day, so that fewer than {k} of the "
            f"{logs.n_tracks} tracks are new to them: set evaluation.k lower, or "
            "strategies.exclude_seen = false"
        )
    ranking = strategy.recommend(users, k + most)
    seen = streamed_on_day_one(engine, logs, users)
    return Ranking(*engine.drop_seen(ranking.tracks, ranking.scores, seen, k))
