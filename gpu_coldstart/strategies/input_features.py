"""Input Features Clustering: segments cut from the input vectors, without the network (4.1.3)."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine.base import Array
from gpu_coldstart.segments import cluster, shares_of
from gpu_coldstart.spaces import unit_rows
from gpu_coldstart.strategies.base import Ranking, Situation, Strategy

__all__ = ["InputFeatures"]

_BATCH = 4096


class InputFeatures(Strategy):
    """Popular tracks of the warm users whose input vectors are alike.

    Input vectors are made unit first, as in the public release, which also sets k = 100 (the
    paper is silent on both). The centroids are learned from a seeded sample of the warm users
    when there are more than ``strategies.input_features_points`` for each segment, so that the
    whole matrix of vectors never exists; every warm user is then assigned.

    Attributes
    ----------
    labels : Array [warm users] of int32
        The segment of each.
    """

    name = "input-features"

    def __init__(self, situation: Situation):
        super().__init__(situation)
        engine, logs, xp = situation.engine, situation.logs, situation.engine.xp
        config = situation.config
        k = min(config.strategies.input_features_k, logs.n_warm)
        most = config.strategies.input_features_points * k or logs.n_warm
        generator = np.random.default_rng(config.seed)
        sample = np.sort(generator.permutation(logs.n_warm)[:most])
        found = cluster(engine, self._vectors(engine.asarray(sample)), k, config)
        self._centroids = found.centroids
        self.labels = self._assign(xp.arange(logs.n_warm))
        # A segment of the sample keeps its members even if its centroid moved away from them.
        self.labels[engine.asarray(sample)] = found.labels
        popularity = config.segments.popularity
        self._shares = shares_of(engine, logs.plays, self.labels, k, of=popularity)

    def _vectors(self, users: Array) -> Array:
        """Unit input vectors [users, width]; beside them, only those of a batch exist at once."""
        xp, inputs = self.situation.engine.xp, self.situation.inputs
        vectors = xp.empty((len(users), inputs.width), dtype=xp.float32)
        for start in range(0, len(users), _BATCH):
            some = slice(start, start + _BATCH)
            vectors[some] = unit_rows(inputs.batch(users[some]))
        return vectors

    def _assign(self, users: Array) -> Array:
        """Segment of each user."""
        engine = self.situation.engine
        parts = [
            engine.nearest(self._vectors(users[start : start + _BATCH]), self._centroids, 1)[0]
            for start in range(0, len(users), _BATCH)
        ]
        return engine.xp.concatenate(parts)[:, 0]

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        tracks, scores = self.situation.engine.row_top(self._shares, k)
        segment = self._assign(users)
        return Ranking(tracks[segment], scores[segment])
