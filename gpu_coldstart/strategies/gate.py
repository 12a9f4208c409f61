"""Gate: popularities of segments, weighted by a network trained for the tracks themselves.

The mixture of :mod:`gpu_coldstart.strategies.mixture` weighs segments by their distance. Here a
network weighs them, as a gate does experts (Jacobs et al. 1991), so that what warm users streamed
becomes as likely as it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from gpu_coldstart.config.streams import GateConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.errors import UserError
from gpu_coldstart.segments import cluster
from gpu_coldstart.spaces import Progress
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import best_epoch

__all__ = ["Gate"]


@dataclass(frozen=True)
class Gated:
    """A network from the input vector to weights of segments, and what these stream.

    Attributes
    ----------
    network : Feedforward
        With a softmax over the segments of each resolution.
    popularity : Array [tracks, segments] of float32
        Probability of each track in each segment.
    curve : tuple of float
        NDCG of the validation users after each epoch.
    """

    network: Feedforward
    popularity: Array
    curve: tuple[float, ...] = ()


class Gate(Strategy):
    """Tracks by their probability ``p(t|u) = sum_s g_s(x_u) phi_s(t)`` over all segments s.

    The weights g are a network's softmax of the input vector x, and phi is the popularity in the
    segment, smoothed. With several numbers of segments, one network has a softmax over each, and
    their mixtures are averaged. It is trained for the mean, over warm users, of the mean
    log-probability of their tracks, and stopped by the NDCG of the validation users.
    """

    name = "gate"
    label = "Gate"
    uses_prediction = False
    State = Gated

    Parameters = GateConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, state.popularity, "inner")

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Gated:
        """Cut the warm users into segments, train the network and keep its best epoch."""
        from gpu_coldstart.models.gate import GateTraining  # serving does without PyTorch
        from gpu_coldstart.models.streams import block_scale

        engine, logs = context.engine, past.logs
        sizes = tuple(dict.fromkeys(min(k, logs.n_warm) for k in parameters.segments))
        _check_size(engine, logs.n_tracks, sizes)
        progress(0, parameters.epochs, "segments")
        popularity = engine.xp.concatenate(
            [_popularity(context, past, k, parameters.smoothing) for k in sizes], axis=1
        )
        training = GateTraining(
            engine,
            past.inputs,
            block_scale(engine, past.inputs, logs.n_warm),
            plays=logs.plays,
            popularity=popularity,
            sizes=sizes,
            options=parameters,
            seed=context.seed,
        )

        def trained(epoch: int) -> tuple[Gated, str]:
            loss = training.epoch(epoch)
            return Gated(training.learned(), popularity), f"loss {loss:.4f}"

        return best_epoch(partial(cls, context, parameters), trained, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        weights = self.context.engine.feed_forward(self.state.network, users.vectors())
        return Ranking(*self._retriever.rank(weights, k))


def _check_size(engine: Engine, n_tracks: int, sizes: tuple[int, ...]) -> None:
    """Refuse more popularities than the memory holds: they are looked up by each step."""
    needed = 4 * n_tracks * sum(sizes)
    if needed > engine.resident_bytes:
        raise UserError(
            f"setting 'strategies.gate_segments' asks for {sum(sizes)} segments, whose shares of "
            f"{n_tracks} tracks take {needed / 1e6:.0f} MB, more than the "
            f"{engine.resident_bytes / 1e6:.0f} MB that are spared here: name fewer"
        )


def _popularity(context: Context, past: Past, k: int, smoothing: float) -> Array:
    """Probability of each track in each of ``k`` new segments [tracks, k], smoothed by the chart.

    As if ``smoothing`` users of average taste and diligence joined each segment.
    """
    engine, xp, plays = context.engine, context.engine.xp, past.logs.plays
    labels = cluster(engine, past.space.users, k, past.clustering, context.seed).labels
    counts: Csr = engine.segment_counts(labels, plays, k)
    segments, tracks = entries(engine, counts)
    made = xp.zeros((plays.shape[1], k), dtype=xp.float32)
    made[tracks, segments] = counts.data
    joining = smoothing / past.logs.n_warm
    made += (joining * past.logs.popularity).astype(xp.float32)[:, None]
    return made / xp.maximum(made.sum(axis=0, dtype=xp.float64), 1).astype(xp.float32)
