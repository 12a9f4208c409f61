"""How well a metric space finds warm users' own tracks, by the protocol of Tran et al. (2021).

A fifth of all pairs of a warm user and a streamed track is hidden, a space is learned from the
rest, and the ten tracks that score highest of those that are not known of the user are measured by
what was hidden, for five cohorts of users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse, stats

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.measures import hits_of, user_measures
from gpu_coldstart.spaces import Space

__all__ = [
    "MEASURES",
    "K",
    "Task",
    "by_cohort",
    "by_popularity",
    "by_relation",
    "interval",
    "matrix",
    "measured",
    "task",
]

K = 10
"""Length of the lists."""

MEASURES = ("ndcg", "recall", "map", "mrr", "mmr")
"""Columns of :func:`by_cohort`; MMR is the mean of the median popularity rank in a list."""

_COHORTS = 5
_HIDDEN = 0.2
_USERS_AT_A_TIME = 256

_Scores = Callable[[HostArray], HostArray]
"""From some users to scores [users, tracks] of float32, which may be written to."""


@dataclass(frozen=True)
class Task:
    """What is known, what is hidden, and whose lists are measured together.

    Attributes
    ----------
    known, hidden : csr_array [users, tracks] of ones
    cohorts : list of HostArray
        Users with hidden tracks.
    """

    known: sparse.csr_array
    hidden: sparse.csr_array
    cohorts: list[HostArray]

    @cached_property
    def rank(self) -> HostArray:
        """Popularity rank of each track among what is known, from 0."""
        rank = np.empty(self.known.shape[1], np.int64)
        rank[np.argsort(-self.known.sum(axis=0), kind="stable")] = np.arange(len(rank))
        return rank


def task(streamed: sparse.csr_array, *, least: int, seed: int) -> Task:
    """Hide a fifth of the pairs, and deal users with some of them out to five cohorts.

    Parameters
    ----------
    streamed : csr_array [users, tracks]
    least : int
        Users and tracks have at least so many of each other; the rest is left out.
    seed : int

    Raises
    ------
    UserError
        Where too few are left.
    """
    rng = np.random.default_rng(seed)
    streamed = _dense_enough(streamed, least)
    users, tracks = streamed.nonzero()
    out = rng.permutation(len(users)) < _HIDDEN * len(users)
    known, hidden = (
        sparse.csr_array((np.ones(part.sum()), (users[part], tracks[part])), shape=streamed.shape)
        for part in (~out, out)
    )
    measured = rng.permutation(np.flatnonzero(np.diff(hidden.indptr)))
    if len(measured) < 2 * _COHORTS or streamed.shape[1] <= K:
        raise UserError(
            f"{streamed.shape[0]} warm users and {streamed.shape[1]} tracks have {least} or more "
            f"of each other: give more, or a smaller --least, for {_COHORTS} cohorts of users and "
            f"lists of {K} tracks"
        )
    return Task(known, hidden, [np.sort(measured[i::_COHORTS]) for i in range(_COHORTS)])


def _dense_enough(streamed: sparse.csr_array, least: int) -> sparse.csr_array:
    """Users and tracks that have at least so many of each other."""
    while True:
        users, tracks = (streamed.count_nonzero(axis=axis) >= least for axis in (1, 0))
        if users.all() and tracks.all():
            return streamed
        streamed = streamed[users][:, tracks]


def by_popularity(task: Task) -> _Scores:
    """The same for everybody: the most popular tracks first."""
    return lambda users: np.tile(-task.rank.astype(np.float32), (len(users), 1))


def by_relation(engine: Engine, task: Task, space: Space, seed: int) -> _Scores:
    """What a space of relations says (:mod:`gpu_coldstart.spaces.hlr`), learned from the known.

    Of users with many tracks, those count as their history that a draw by ``seed`` puts first.
    """
    weights, relations = task.known.copy(), space.relations
    weights.data = np.random.default_rng(seed).permutation(weights.nnz) + 1.0
    assert relations is not None

    def scores(users: HostArray) -> HostArray:
        theirs, places = matrix(engine, weights[users]), space.users[engine.asarray(users)]
        return engine.to_host(relations.scores(engine, space.tracks, places, theirs))

    return scores


def matrix(engine: Engine, table: sparse.csr_array) -> Csr:
    """A matrix as the engine has it."""
    rows, columns = table.nonzero()
    asarray, values = engine.asarray, table.data.astype(np.float32)
    return engine.csr(asarray(rows), asarray(columns), asarray(values), table.shape)


def by_cohort(task: Task, scores: _Scores) -> HostArray:
    """Mean of each of :data:`MEASURES` over each cohort [cohorts, measures] of float64."""

    def some(part: slice) -> tuple[Array]:
        found = measured(task, scores(cohort[part]), cohort[part])
        return (np.stack([found[name] for name in MEASURES], axis=1),)

    means = []
    for cohort in task.cohorts:
        means.append(by_batches(np, len(cohort), some, size=_USERS_AT_A_TIME)[0].mean(axis=0))
    return np.array(means)


def measured(task: Task, scores: HostArray, users: HostArray) -> dict[str, HostArray]:
    """Each user's measures of the best tracks by ``scores`` [users, tracks] that are not known."""
    known, hidden = task.known[users], task.hidden[users]
    scores[known.nonzero()] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    found = user_measures(hits_of(best, hidden), np.diff(hidden.indptr), K)
    return {**found, "mmr": 1 + np.median(task.rank[best], axis=1)}


def interval(values: HostArray) -> tuple[float, float]:
    """Mean of cohorts [cohorts] and the half-width of its 95 % interval (Student's t)."""
    n = len(values)
    width = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(width)
