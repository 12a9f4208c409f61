"""Track Softmax: a network from the input vector straight to a softmax over all tracks.

The paper's network learns a place in the space, and tracks are ranked from there. Here the tracks'
own factors are learned too, so that what warm users streamed becomes as likely as it can.
"""

from __future__ import annotations

from typing import Any

from gpu_coldstart.config.streams import TrackSoftmaxConfig
from gpu_coldstart.spaces import unit_rows
from gpu_coldstart.strategies.base import Context, Past
from gpu_coldstart.strategies.towers import TowerStrategy, Trained

__all__ = ["TrackSoftmax"]


class TrackSoftmax(TowerStrategy):
    """Tracks by their probability ``p(t|u) ~ exp(f(x_u) . v_t + b_t)``.

    Both the network f of the input vector x and the tracks' factors v and offsets b are trained for
    the mean, over warm users, of the mean log-probability of their tracks, and stopped by the NDCG
    of the validation users. Scores are log-probabilities, up to a constant of each user.
    """

    name = "track-softmax"
    label = "Track Softmax"
    Parameters = TrackSoftmaxConfig

    @classmethod
    def training(cls, context: Context, parameters: Any, past: Past) -> Trained:
        """See :meth:`TowerStrategy.training`."""
        from gpu_coldstart.models.streams import block_scale
        from gpu_coldstart.models.track_softmax import SoftmaxTraining

        engine, logs = context.engine, past.logs
        return SoftmaxTraining(
            engine,
            past.inputs,
            block_scale(engine, past.inputs, logs.n_warm),
            plays=logs.plays,
            popularity=logs.popularity,
            tracks=unit_rows(past.space.tracks),
            options=parameters,
            seed=context.seed,
        )
