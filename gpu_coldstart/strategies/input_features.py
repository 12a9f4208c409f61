"""Input Features Clustering: segments cut from the input vectors, without the network (4.1.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_coldstart.batches import batches, by_batches
from gpu_coldstart.config.components import InputFeaturesConfig
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.features import Inputs
from gpu_coldstart.segments import cluster, shares_of
from gpu_coldstart.spaces import Progress, unit_rows
from gpu_coldstart.strategies.base import (
    Context,
    Past,
    Ranking,
    Strategy,
    Users,
    favourites,
)
from gpu_coldstart.strategies.placed import PlacedSegments

__all__ = ["InputFeatures"]

_BATCH = 4096


class InputFeatures(Strategy):
    """Popular tracks of the warm users whose input vectors are alike.

    Input vectors are made unit first, as in the public release, which also sets k = 100 (the
    paper is silent on both). The centroids are learned from a seeded sample of the warm users
    when there are more than ``strategies.input_features_points`` for each segment, so that the
    whole matrix of vectors never exists; every warm user is then assigned.
    """

    name = "input-features"
    label = "Input Features Clustering"
    uses_prediction = False
    State = PlacedSegments

    Parameters = InputFeaturesConfig

    @classmethod
    def fit(
        cls, context: Context, parameters: Any, past: Past, progress: Progress
    ) -> PlacedSegments:
        """Cluster the warm users' input vectors."""
        engine, logs = context.engine, past.logs
        k = min(parameters.k, logs.n_warm)
        most = parameters.points * k or logs.n_warm
        generator = np.random.default_rng(context.seed)
        sample = engine.asarray(np.sort(generator.permutation(logs.n_warm)[:most]))
        progress(0, 2, "clustering a sample")
        sampled = cluster(
            engine, _vectors(engine, past.inputs, sample), k, past.clustering, context.seed
        )
        progress(1, 2, "assigning all warm users")
        warm = engine.xp.arange(logs.n_warm)
        labels = _assign(engine, past.inputs, warm, sampled.centroids)
        # A segment of the sample keeps its members even if its centroid moved away from them.
        labels[sample] = sampled.labels
        shares = shares_of(engine, logs.plays, labels, k, of=past.clustering.popularity)
        return PlacedSegments(sampled.centroids, shares)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        engine = self.context.engine
        segments = _assign(engine, users.inputs, users.numbers, self.state.centroids)
        return favourites(self.context, self.state.shares, segments, k)


def _vectors(engine: Engine, inputs: Inputs, users: Array) -> Array:
    """Unit input vectors [users, width]; apart from them, only one batch is held at a time."""
    vectors = engine.xp.empty((len(users), inputs.width), dtype=engine.xp.float32)
    for some in batches(len(users), _BATCH):
        vectors[some] = unit_rows(inputs.batch(users[some]))
    return vectors


def _assign(engine: Engine, inputs: Inputs, users: Array, centroids: Array) -> Array:
    """Segment of each user [users] of int32."""

    def nearest(some: slice) -> tuple[Array]:
        return (engine.nearest(unit_rows(inputs.batch(users[some])), centroids, 1)[0][:, 0],)

    return by_batches(engine.xp, len(users), nearest, size=_BATCH)[0]
