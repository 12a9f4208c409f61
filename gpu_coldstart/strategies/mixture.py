"""Mixture: the popular tracks of the nearest segments, weighted by a calibrated distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from gpu_coldstart.config.components import MixtureConfig
from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import blended, nearest_square, softmax, tuned

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Calibration:
    """How fast a segment's weight falls with its distance.

    Attributes
    ----------
    sharpness : float
        Weights are ``exp(-sharpness * squared distance)``, normalised.
    curve : tuple of float
        NDCG of the validation users for each sharpness tried.
    """

    sharpness: float
    curve: tuple[float, ...] = ()


class Mixture(Strategy):
    """Tracks by their probability ``p(t|u) = sum_s w_s(u) share_s(t)`` over the nearest segments.

    The weights w are a softmax of the squared distance from the prediction. Its sharpness, in units
    of the mean squared distance of the validation users from their nearest centroid, is the best of
    ``strategies.mixture_sharpnesses`` on those users.
    """

    name = "mixture"
    label = "Mixture"
    State = Calibration

    Parameters = MixtureConfig

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Calibration:
        """Try every sharpness and keep the best on the validation users."""
        unit = nearest_square(context.engine, past.validation.predicted, context.centroids)
        trials = {
            f"sharpness {each}": partial(Calibration, each / unit)
            for each in parameters.sharpnesses
        }
        return tuned(partial(cls, context, parameters), trials, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return blended(self.context.engine, *self.segments_of(users), self.context.shares, k)

    def segments_of(self, users: Users) -> tuple[Array, Array]:
        """The nearest segments, weighted by the softmax of their squared distance."""
        context = self.context
        n = min(self.parameters.segments, int(context.centroids.shape[0]))
        segments, distances = context.engine.nearest(users.predicted, context.centroids, n)
        return segments, softmax(context.engine, distances, self.state.sharpness)
