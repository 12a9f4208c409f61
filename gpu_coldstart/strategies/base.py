"""What a strategy is, and what it may know (3.2.4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gpu_coldstart.config.base import Parameters
from gpu_coldstart.config.parameters import SegmentsConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.features import Inputs
from gpu_coldstart.segments import Segments
from gpu_coldstart.spaces import Progress, Space
from gpu_coldstart.spaces.relations.scoring import Relations
from gpu_coldstart.strategies.blending import Blending, Part

__all__ = [
    "Context",
    "Past",
    "Ranking",
    "Strategy",
    "Users",
    "favourites",
    "highest",
]


@dataclass(frozen=True)
class Ranking:
    """Ranked tracks of some users, best first.

    Attributes
    ----------
    tracks : Array [users, K] of int32
        Distinct within a row.
    scores : Array [users, K] of float32
        Descending within a row; what they mean is up to the strategy.
    """

    tracks: Array
    scores: Array


@dataclass(frozen=True)
class Context:
    """What every strategy of a space recommends from; all of it is part of a saved model.

    Attributes
    ----------
    engine : Engine
    tracks : Array [tracks, d] of float32
        Embeddings, as the space has them.
    centroids : Array [k, d] of float32
        Of the segments.
    shares : Csr [k, tracks]
        Popularity of each track in each segment.
    chart : Array [tracks] of float32
        Popularity of each track among all warm users, in the same unit; tracks are numbered by it.
    similarity : {"cosine", "inner", "distance"}
        Between places in the space and tracks.
    seed : int
        Of every random choice of a strategy.
    relations : Relations or None
        What scores tracks for a user, where the space has it.
    """

    engine: Engine
    tracks: Array
    centroids: Array
    shares: Csr
    chart: Array
    similarity: str = "cosine"
    seed: int = 0
    relations: Relations | None = None

    @classmethod
    def of(
        cls,
        engine: Engine,
        logs: Logs,
        space: Space,
        segments: Segments,
        *,
        popularity: str = "members",
        similarity: str = "cosine",
        seed: int = 0,
    ) -> Context:
        """The context that was learned from the logs.

        Parameters
        ----------
        popularity : {"members", "listens"}
            Popularity in the chart is the share of the warm users who streamed a track, or its
            share of all they streamed.
        """
        total = logs.n_warm if popularity == "members" else max(1, logs.plays.nnz)
        chart = (logs.popularity.astype(engine.xp.float32) / total).astype(engine.xp.float32)
        cut = segments.centroids, segments.shares
        return cls(engine, space.tracks, *cut, chart, similarity, seed, space.relations)

    @property
    def n_tracks(self) -> int:
        """Number of tracks in the catalogue."""
        return int(self.tracks.shape[0])

    def most_popular(self, n: int, k: int) -> Ranking:
        """The chart: the same ``k`` tracks for ``n`` users."""
        xp = self.engine.xp
        tracks = xp.arange(k, dtype=xp.int32)  # numbered by popularity
        return Ranking(xp.tile(tracks, (n, 1)), xp.tile(self.chart[:k], (n, 1)))


@dataclass(frozen=True)
class Users:
    """Users to recommend to, indexed with the data set or never seen before.

    Attributes
    ----------
    registrations : Registrations
    inputs : Inputs
        Their input vectors, numbered like ``registrations``.
    numbers : Array [n] of integers
        Which of them.
    predicted : Array [n, d] of float32
        Where the network puts these.
    """

    registrations: Registrations
    inputs: Inputs
    numbers: Array
    predicted: Array

    def __len__(self) -> int:
        """Number of users to recommend to."""
        return int(self.numbers.shape[0])

    def take(self, rows: Any) -> Users:
        """Some of the users, by place or mask or slice."""
        return Users(self.registrations, self.inputs, self.numbers[rows], self.predicted[rows])

    def vectors(self) -> Array:
        """Input vectors [n, width] of float32; ask for a batch of users at a time."""
        return self.inputs.batch(self.numbers)

    def signal(self, name: str) -> Array:
        """One signal's block of the input vectors [n, d] of float32."""
        return self.inputs.signal(name, self.numbers)

    def day(self, context: Context) -> Csr:
        """What the users did [n * 18, entities], as :attr:`Registrations.events` has it."""
        xp = context.engine.xp
        rows = self.numbers[:, None] * len(SIGNALS) + xp.arange(len(SIGNALS))
        return context.engine.take_rows(self.registrations.events, rows.ravel())

    def streamed(self, context: Context) -> Csr:
        """Tracks that the users streamed on registration day [n, tracks], by number of events."""
        return self.registrations.streamed(context.engine, self.numbers, context.n_tracks)


def _unheard(epoch: int, ndcg: float) -> None:
    del epoch, ndcg


@dataclass(frozen=True)
class Past:
    """What a strategy with a state of its own may learn it from, in one space.

    Attributes
    ----------
    logs : Logs
    space : Space
    segments : Segments
    inputs : Inputs
        Input vectors of all users of the logs.
    clustering : SegmentsConfig
        How users are clustered, for strategies that make segments of their own.
    validation : Users
        The validation users.
    score : callable
        From a ranking of the validation users, in their order, to its mean NDCG against what they
        streamed next, for early stopping and tuning.
    wanted : Csr [validation users, tracks]
        What they streamed next.
    experts : dict of name to Strategy
        The fitted strategies that this one is made of.
    after_epoch : callable
        Called with the number of an epoch, from 1, and the NDCG after it, by strategies that learn
        by epochs; it may raise, and so end the learning.
    """

    logs: Logs
    space: Space
    segments: Segments
    inputs: Inputs
    clustering: SegmentsConfig
    validation: Users
    score: Callable[[Ranking], float]
    wanted: Csr
    experts: Mapping[str, Strategy] = field(default_factory=dict)
    after_epoch: Callable[[int, float], None] = _unheard


class Strategy(ABC):
    """A way to recommend. Making one does all the work that does not depend on the user.

    A strategy that learns something of its own declares its type, a frozen dataclass of
    arrays, matrices, numbers and names, as ``State``, and learns it in :meth:`fit`; the state is
    saved with the run and in the model. A state may have a field ``curve``, a tuple of
    :attr:`Past.score` after each epoch or trial, of which the first best was kept: it is shown
    with the curves of the networks.

    Parameters
    ----------
    context : Context
    parameters : Parameters
        Of the class's own ``Parameters``; its defaults unless given.
    state : State
        What :meth:`fit` returned, if the strategy has a state.
    experts : dict of name to Strategy
        Those of :meth:`experts_of`; passed on if there are any.
    """

    name: ClassVar[str]
    """As in ``strategies.names``."""

    label: ClassVar[str]
    """As in tables and reports."""

    Parameters: ClassVar[type[Parameters]] = Parameters
    """The parameter ``p`` of the strategy ``x-y`` is the setting ``strategies.x_y_p``."""

    State: ClassVar[type[Any] | None] = None

    unlearned: ClassVar[frozenset[str]] = frozenset()
    """Settings that :meth:`fit` does not read, so that other values learn nothing again."""

    keeps: ClassVar[str] = ""
    """What a saved state has of single users, for the model card; "" for sums and means alone."""

    taught: ClassVar[bool] = False
    """Whether validation users teach it, so that its curve, of folds of them, judges it better than
    its lists for them."""

    uses_prediction: ClassVar[bool] = True
    """Whether lists follow from where the network puts a user, so that signals explain them."""

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        self.context = context
        self.parameters: Any = self.Parameters() if parameters is None else parameters
        self.state: Any = state

    @classmethod
    def experts_of(cls, parameters: Any) -> tuple[str, ...]:
        """Names of the strategies that this one is made of; they are fitted before it."""
        del parameters
        return ()

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Any:
        """Learn the state; None for a strategy without one."""
        del context, parameters, past, progress
        return None

    @classmethod
    def served(cls, state: Any) -> Any:
        """What of the state it takes to recommend, which is all that a saved model holds."""
        return state

    @classmethod
    def blending(cls, state: Any) -> Blending | None:
        """What a strategy made of others has learned, to be shown."""
        del state
        return None

    @abstractmethod
    def recommend(self, users: Users, k: int) -> Ranking:
        """Rank ``k`` tracks for each user. A user's list must not depend on the other users."""

    def segments_of(self, users: Users) -> tuple[Array, Array] | None:
        """Segments that a list is made of, heaviest first, and their weights, if it is.

        Returns
        -------
        segments : Array [users, s] of int32
        weights : Array [users, s] of float32
            Rows add up to 1.
        """
        del users
        return None

    def parts_of(self, users: Users, tracks: Array) -> tuple[tuple[Part, ...], Array] | None:
        """What lifts a user's list above other candidates, if scores are sums of parts.

        Parameters
        ----------
        tracks : Array [users, k] of int32
            The lists.

        Returns
        -------
        parts : tuple of Part
        shares : Array [users, parts] of float64
            Rows add up to 1, or are null. What pulls the list down has a negative share.
        """
        del users, tracks
        return None


def favourites(context: Context, shares: Csr, segments: Array, k: int) -> Ranking:
    """The ``k`` most popular tracks of each user's segment; ranked for the segments met alone.

    Parameters
    ----------
    shares : Csr [segments, tracks]
    segments : Array [users] of int32
    """
    met, place = context.engine.xp.unique(segments, return_inverse=True)
    tracks, scores = context.engine.row_top(context.engine.take_rows(shares, met), k)
    return Ranking(tracks[place], scores[place])


def highest(xp: Any, scores: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` tracks of each row of scores [n, tracks] that are highest, best first.

    Returns
    -------
    tracks : Array [n, k] of int32
    scores : Array [n, k] of float32
    """
    scores = scores.astype(xp.float32)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order.astype(xp.int32), xp.take_along_axis(scores, order, 1)
