"""Input Features Clustering: segments cut from the input vectors, without the network (4.1.3)."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine.base import Array
from gpu_coldstart.segments import shares_of
from gpu_coldstart.spaces import unit_rows
from gpu_coldstart.strategies.base import Ranking, Situation, Strategy

__all__ = ["InputFeatures"]

_POINTS_EACH = 256
"""k-means learns from at most so many users for each segment (faiss's own bound)."""

_BATCH = 4096


class InputFeatures(Strategy):
    """Popular tracks of the warm users whose input vectors are alike.

    Input vectors are made unit first, as in the public release, which also sets k = 100 (the
    paper is silent on both). The centroids are learned from a seeded sample of the warm users
    when there are more than 256 for each segment, so that the whole matrix of vectors never
    exists; every warm user is then assigned.
    """

    name = "input-features"

    def __init__(self, situation: Situation):
        super().__init__(situation)
        engine, logs, xp = situation.engine, situation.logs, situation.engine.xp
        k = min(situation.config.strategies.input_features_k, logs.n_warm)
        generator = np.random.default_rng(situation.config.seed)
        sample = np.sort(generator.permutation(logs.n_warm)[: _POINTS_EACH * k])
        points = self._vectors(engine.asarray(sample))
        found = engine.kmeans(
            points,
            k,
            iterations=situation.config.segments.iterations,
            seed=situation.config.seed,
        )
        self._centroids = found.centroids
        labels = self._assign(xp.arange(logs.n_warm))
        # A segment of the sample keeps its members even if its centroid moved away from them.
        labels[engine.asarray(sample)] = found.labels
        self._shares = shares_of(engine, logs.plays, labels, k)

    def _vectors(self, users: Array) -> Array:
        """Unit input vectors."""
        return unit_rows(self.situation.inputs.batch(users))

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
