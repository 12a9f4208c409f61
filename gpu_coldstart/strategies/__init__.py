"""Ways to recommend, one file each, listed in :data:`gpu_coldstart.registry.STRATEGIES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.base import Parameters
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import STRATEGIES, section
from gpu_coldstart.strategies.base import (
    Context,
    Past,
    Ranking,
    Strategy,
    Users,
)

__all__ = [
    "Context",
    "Past",
    "Ranking",
    "Strategy",
    "Users",
    "default_of",
    "experts_of",
    "made",
    "most_seen",
    "parameters_of",
    "recommend",
    "with_experts",
]


def parameters_of(name: str, config: Config) -> Parameters:
    """A strategy's own settings: ``strategies.x_y_p`` is the parameter p of the strategy x-y."""
    parameters: type[Parameters] = STRATEGIES.get(name).Parameters
    return parameters(
        **{
            parameter: getattr(config.strategies, f"{section(name)}_{parameter}")
            for parameter in parameters.model_fields
        }
    )


def experts_of(name: str, config: Config) -> tuple[str, ...]:
    """Names of the strategies that a strategy is made of."""
    experts: tuple[str, ...] = STRATEGIES.get(name).experts_of(parameters_of(name, config))
    return experts


def made(name: str, config: Config, context: Context, states: Mapping[str, Any]) -> Strategy:
    """A strategy, with the strategies that it is made of.

    Parameters
    ----------
    states : dict of name to State
        Of those that have one.
    """
    experts = {each: made(each, config, context, states) for each in experts_of(name, config)}
    more = {"experts": experts} if experts else {}
    strategy: Strategy = STRATEGIES.get(name)(
        context, parameters_of(name, config), states.get(name), **more
    )
    return strategy


def default_of(names: Iterable[str]) -> str:
    """The strategy that recommends where none is named: best, the paper's, or the first."""
    there = tuple(names)
    return next((name for name in ("best", "semi") if name in there), there[0])


def with_experts(config: Config) -> tuple[str, ...]:
    """The strategies that are asked for, each after those that it is made of."""
    names = dict[str, None]()

    def add(name: str) -> None:
        for expert in experts_of(name, config):
            add(expert)
        names[name] = None

    for name in config.strategies.names:
        add(name)
    return tuple(names)


def recommend(
    strategy: Strategy,
    users: Users,
    k: int,
    *,
    exclude_seen: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Ranking:
    """Rank ``k`` tracks for each user, batch by batch.

    Parameters
    ----------
    exclude_seen : bool
        Leave out the tracks that a user streamed on registration day.
    progress : callable
        Called with the number of users done so far.

    Raises
    ------
    UserError
        When fewer than ``k`` tracks are left for a user.
    """

    def ranked(some: slice) -> tuple[Array, Array]:
        batch = users.take(some)
        ranking = _unseen(strategy, batch, k) if exclude_seen else strategy.recommend(batch, k)
        return ranking.tracks, ranking.scores

    tracks, scores = by_batches(strategy.context.engine.xp, len(users), ranked, progress=progress)
    return Ranking(tracks, scores)


def most_seen(engine: Engine, seen: Csr, k: int) -> int:
    """The most tracks that any user streamed on registration day.

    Parameters
    ----------
    seen : Csr [users, tracks]
    k : int
        Length of lists that leave them out.

    Raises
    ------
    UserError
        When fewer than ``k`` tracks are left for a user.
    """
    n_users, n_tracks = seen.shape
    most = int(engine.xp.diff(seen.indptr).max()) if n_users else 0
    if k + most > n_tracks:
        raise UserError(
            f"a user streamed {most} tracks on registration day, which leaves fewer than {k} of "
            f"the {n_tracks} tracks: ask for shorter lists, or do not exclude what was seen"
        )
    return most


def _unseen(strategy: Strategy, users: Users, k: int) -> Ranking:
    """Rank longer lists, then thin them.

    Soft allocation depends on the length of a list, and a user's list must not depend on the
    other users: so all who saw up to the same power of two get lists of the same length.
    """
    context = strategy.context
    engine, xp = context.engine, context.engine.xp
    seen = users.streamed(context)
    counts = xp.diff(seen.indptr)
    tracks = xp.empty((len(users), k), dtype=xp.int32)
    scores = xp.empty((len(users), k), dtype=xp.float32)
    most = most_seen(engine, seen, k)
    least, spare = -1, 0
    while least < most:
        rows = ((counts > least) & (counts <= spare)).nonzero()[0]
        if len(rows):
            longer = strategy.recommend(users.take(rows), min(k + spare, context.n_tracks))
            thinned = engine.drop_seen(
                longer.tracks, longer.scores, engine.take_rows(seen, rows), k
            )
            tracks[rows], scores[rows] = thinned
        least, spare = spare, max(1, 2 * spare)
    return Ranking(tracks, scores)
