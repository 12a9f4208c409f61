"""What strategies share whose model leads from the input vector to a place beside tracks."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.spaces import Progress
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import best_epoch

__all__ = ["ContentStrategy", "TowerStrategy", "Towers", "Trained"]


@dataclass(frozen=True)
class Towers:
    """Where users and tracks are.

    Attributes
    ----------
    network : Feedforward
        From an input vector to a user's place.
    tracks : Array [tracks, d] of float32
        Places.
    curve : tuple of float
        NDCG of the validation users after each epoch.
    """

    network: Feedforward
    tracks: Array
    curve: tuple[float, ...] = ()


class Trained(Protocol):
    """A model in training."""

    def epoch(self, epoch: int) -> float:
        """One pass over the warm users; returns the mean loss met on the way."""

    def learned(self) -> tuple[Any, ...]:
        """What the state has before its curve."""


class TowerStrategy(Strategy):
    """The tracks of the largest inner products with the user's place, which are the scores."""

    uses_prediction = False
    State: ClassVar[type[Any]] = Towers

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, state.tracks, "inner")

    @classmethod
    @abstractmethod
    def training(cls, context: Context, parameters: Any, past: Past) -> Trained:
        """The model, not trained yet. Imported here alone, as serving has no PyTorch."""

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Any:
        """Train the model and keep its best epoch."""
        training = cls.training(context, parameters, past)

        def trained(epoch: int) -> tuple[Any, str]:
            loss = training.epoch(epoch)
            return cls.State(*training.learned()), f"loss {loss:.5f}"

        return best_epoch(partial(cls, context, parameters), trained, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return Ranking(*self._retriever.rank(self.located(users), k))

    def located(self, users: Users) -> Array:
        """Places of users [n, d] of float32."""
        return self.context.engine.feed_forward(self.state.network, users.vectors())


class ContentStrategy(TowerStrategy):
    """One whose model is a :class:`gpu_coldstart.models.content.ContentTraining`."""

    @classmethod
    @abstractmethod
    def model(cls) -> Any:
        """Its class, imported here alone."""

    @classmethod
    def training(cls, context: Context, parameters: Any, past: Past) -> Trained:
        """See :meth:`TowerStrategy.training`."""
        made: Trained = cls.model()(
            context.engine,
            past.inputs,
            past.space,
            plays=past.logs.plays,
            options=parameters,
            seed=context.seed,
        )
        return made
