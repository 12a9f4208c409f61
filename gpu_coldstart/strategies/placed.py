"""Semi-personalised lists by the places that another strategy's model gives to users."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.segments import cluster, shares_of
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users, favourites

__all__ = ["PlacedSegments", "PlacedSemi"]


@dataclass(frozen=True)
class PlacedSegments:
    """Segments of the warm users by their places, in whatever space.

    Attributes
    ----------
    centroids : Array [k, d] of float32
    shares : Csr [k, tracks]
        Popularity of each track in each segment.
    """

    centroids: Array
    shares: Csr


class PlacedSemi(Strategy):
    """The favourites of the segment whose centroid is nearest to the user's place.

    As many segments as in the warm space, made and ranked the same way.
    """

    uses_prediction = False
    State = PlacedSegments

    full: ClassVar[str]
    """The strategy whose model places users."""

    def __init__(
        self,
        context: Context,
        parameters: Any = None,
        state: Any = None,
        experts: Mapping[str, Strategy] | None = None,
    ):
        super().__init__(context, parameters, state)
        self._placing: Any = dict(experts or {})[self.full]

    @classmethod
    def experts_of(cls, parameters: Any) -> tuple[str, ...]:
        """See :meth:`Strategy.experts_of`."""
        return (cls.full,)

    @classmethod
    def fit(
        cls, context: Context, parameters: Any, past: Past, progress: Progress
    ) -> PlacedSegments:
        """Cut the warm users into segments."""
        engine, k, of = context.engine, len(context.centroids), past.clustering.popularity
        progress(0, 2, "placing all warm users")
        places = cls(context, parameters, None, past.experts).warm(past)
        progress(1, 2, "segments")
        found = cluster(engine, places, k, past.clustering, context.seed)
        shares = shares_of(engine, past.logs.plays, found.labels, k, of=of)
        return PlacedSegments(found.centroids, shares)

    @abstractmethod
    def warm(self, past: Past) -> Array:
        """Places of the warm users [n, d] of float32."""

    @abstractmethod
    def located(self, users: Users) -> Array:
        """Places of cold users [n, d] of float32."""

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        segments, _ = self.segments_of(users)
        return favourites(self.context, self.state.shares, segments[:, 0], k)

    def segments_of(self, users: Users) -> tuple[Array, Array]:
        """The nearest segment, at weight 1."""
        engine = self.context.engine
        nearest, distance = engine.nearest(self.located(users), self.state.centroids, 1)
        return nearest, engine.xp.ones_like(distance)
