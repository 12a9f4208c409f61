"""Neighbours: what the warm users streamed who are nearest to the prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gpu_coldstart.config.components import NeighboursConfig
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import blended, nearest_square, softmax, tuned

__all__ = ["Neighbours"]


@dataclass(frozen=True)
class Audience:
    """Warm users, where they are in the space, and what they streamed.

    Attributes
    ----------
    places : Array [warm users, d] of float32
    plays : Csr [warm users, tracks]
        1 for a track streamed.
    sharpness : float
        Weights are ``exp(-sharpness * squared distance)``, normalised.
    curve : tuple of float
        NDCG of the validation users for each sharpness tried.
    """

    places: Array
    plays: Csr
    sharpness: float
    curve: tuple[float, ...] = ()


class Neighbours(Strategy):
    """Tracks by the share of the nearest warm users who streamed them, the nearer counting more.

    This is k-nearest-neighbours in the space, without segments. The saved state holds what every
    warm user streamed. The sharpness, in units of the mean squared distance of the validation users
    from the nearest warm user, is the best of ``strategies.neighbours_sharpnesses`` on those users.
    """

    name = "neighbours"
    label = "Nearest Neighbours"
    State = Audience
    keeps = "where each warm user is in the space and which tracks they streamed, without their ids"

    Parameters = NeighboursConfig

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Audience:
        """Try every sharpness and keep the best on the validation users."""
        engine, plays = context.engine, past.logs.plays
        ones = engine.xp.ones(plays.nnz, dtype=engine.xp.float32)
        audience = Audience(past.space.users, plays.with_data(ones), 0.0)
        unit = nearest_square(engine, past.validation.predicted, audience.places)
        trials = {
            f"sharpness {each}": partial(replace, audience, sharpness=each / unit)
            for each in parameters.sharpnesses
        }
        return tuned(partial(cls, context, parameters), trials, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        engine, audience = self.context.engine, self.state
        n = min(self.parameters.users, int(audience.places.shape[0]))
        nearest, distances = engine.nearest(users.predicted, audience.places, n)
        weights = softmax(engine, distances, audience.sharpness)
        return blended(engine, nearest, weights, audience.plays, k)
