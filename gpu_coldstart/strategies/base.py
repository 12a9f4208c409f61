"""What a way to recommend is: one call, one return type (3.2.4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.features import Inputs
from gpu_coldstart.segments import Segments
from gpu_coldstart.spaces import Space, unit_rows

__all__ = ["Ranking", "Situation", "Strategy", "most_popular", "retrieve"]


@dataclass(frozen=True)
class Ranking:
    """Ranked tracks of some users, best first.

    Attributes
    ----------
    tracks : Array [users, K] of int32
        Distinct within a row.
    scores : Array [users, K] of float32
        Descending within a row; what they mean is the strategy's affair.
    """

    tracks: Array
    scores: Array


@dataclass(frozen=True)
class Situation:
    """All a strategy may know: the logs up to registration day, and what was learned from them.

    Attributes
    ----------
    engine, logs, config
    space : Space
    segments : Segments
    inputs : Inputs
    predictions : Array [validation + test users, d] of float32
        Where the network puts the cold users.
    """

    engine: Engine
    logs: Logs
    config: Config
    space: Space
    segments: Segments
    inputs: Inputs
    predictions: Array

    def predicted(self, users: Array) -> Array:
        """Predicted embeddings of cold users, given by number."""
        return self.predictions[users - self.logs.n_warm]


class Strategy(ABC):
    """A way to recommend. Making one does all the work that does not depend on the user.

    Parameters
    ----------
    situation : Situation
    """

    name: str

    def __init__(self, situation: Situation):
        self.situation = situation

    @abstractmethod
    def recommend(self, users: Array, k: int) -> Ranking:
        """Rank ``k`` tracks for each of the cold ``users`` [n], given by number."""


def retrieve(situation: Situation, queries: Array, k: int) -> Ranking:
    """The ``k`` tracks nearest to each query [n, d] by the configured similarity."""
    tracks = situation.space.tracks
    if situation.config.strategies.similarity == "cosine":
        queries, tracks = unit_rows(queries), unit_rows(tracks)
    return Ranking(*situation.engine.top_k(queries, tracks, k))


def most_popular(situation: Situation, n: int, k: int) -> Ranking:
    """The same ``k`` most popular tracks for ``n`` users, scored by ``segments.popularity``.

    That is the share of the warm users who streamed a track, or its share of all their listens.
    """
    xp, logs = situation.engine.xp, situation.logs
    members = situation.config.segments.popularity == "members"
    total = logs.n_warm if members else max(1, logs.plays.nnz)
    # Tracks are numbered by popularity.
    scores = logs.popularity[:k].astype(xp.float32) / total
    return Ranking(
        xp.tile(xp.arange(k, dtype=xp.int32), (n, 1)), xp.tile(scores.astype(xp.float32), (n, 1))
    )
