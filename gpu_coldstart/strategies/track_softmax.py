"""Track Softmax: a network from the input vector straight to a softmax over all tracks.

The paper's network learns a place in the space, and tracks are ranked from there. Here the tracks'
own factors are learned too, so that what warm users streamed becomes as likely as it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from gpu_coldstart.config.streams import TrackSoftmaxConfig
from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.spaces import Progress, unit_rows
from gpu_coldstart.strategies.base import Context, Past, Ranking, Retriever, Strategy, Users
from gpu_coldstart.strategies.tuning import best_epoch

__all__ = ["TrackSoftmax"]


@dataclass(frozen=True)
class Factors:
    """A network from the input vector to factors of a user, and the factors of tracks.

    Attributes
    ----------
    network : Feedforward
        To as many factors; the last is 1 for every user.
    tracks : Array [tracks, factors + 1] of float32
        Of each track; the last is its offset.
    curve : tuple of float
        NDCG of the validation users after each epoch.
    """

    network: Feedforward
    tracks: Array
    curve: tuple[float, ...] = ()


class TrackSoftmax(Strategy):
    """Tracks by their probability ``p(t|u) ~ exp(f(x_u) . v_t + b_t)``.

    Both the network f of the input vector x and the tracks' factors v and offsets b are trained for
    the mean, over warm users, of the mean log-probability of their tracks, and stopped by the NDCG
    of the validation users. Scores are log-probabilities, up to a constant of each user.
    """

    name = "track-softmax"
    label = "Track Softmax"
    uses_prediction = False
    State = Factors

    Parameters = TrackSoftmaxConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, state.tracks, "inner")

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Factors:
        """Train the network and keep its best epoch."""
        # Serving does without PyTorch.
        from gpu_coldstart.models.streams import block_scale
        from gpu_coldstart.models.track_softmax import SoftmaxTraining

        engine, logs = context.engine, past.logs
        training = SoftmaxTraining(
            engine,
            past.inputs,
            block_scale(engine, past.inputs, logs.n_warm),
            plays=logs.plays,
            popularity=logs.popularity,
            tracks=unit_rows(past.space.tracks),
            options=parameters,
            seed=context.seed,
        )

        def trained(epoch: int) -> tuple[Factors, str]:
            loss = training.epoch(epoch)
            return Factors(*training.learned()), f"loss {loss:.4f}"

        return best_epoch(partial(cls, context, parameters), trained, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        queries = self.context.engine.feed_forward(self.state.network, users.vectors())
        return Ranking(*self._retriever.rank(queries, k))
