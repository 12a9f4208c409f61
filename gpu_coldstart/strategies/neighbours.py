"""Neighbours: what the warm users streamed who are nearest to the prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpu_coldstart.config.components import NeighboursConfig
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import best_of, blended, softmax

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
    warm user streamed. The sharpness tried are in units of the mean squared distance of the
    validation users from the nearest warm user; the best on those users is kept.
    """

    name = "neighbours"
    label = "Nearest Neighbours"
    State = Audience

    Parameters = NeighboursConfig

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Audience:
        """Try every sharpness and keep the best on the validation users."""
        engine, plays = context.engine, past.logs.plays
        ones = engine.xp.ones(plays.nnz, dtype=engine.xp.float32)
        audience = Audience(past.space.users, plays.with_data(ones), 0.0)
        _, distances = engine.nearest(past.validation.predicted, audience.places, 1)
        unit = float((distances**2).mean()) or 1.0
        sharpnesses = parameters.sharpnesses
        trials = (
            (f"sharpness {each:g}", made, cls(context, parameters, made))
            for each in sharpnesses
            for made in [replace(audience, sharpness=each / unit)]
        )
        best, curve = best_of(trials, len(sharpnesses), past, progress)
        return replace(best, curve=curve)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        engine, audience = self.context.engine, self.state
        n = min(self.parameters.users, int(audience.places.shape[0]))
        nearest, distances = engine.nearest(users.predicted, audience.places, n)
        weights = softmax(engine, distances, audience.sharpness)
        return blended(engine, nearest, weights, audience.plays, k)
