"""A small situation made by hand, for the strategies to recommend in."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_coldstart.config.parameters import Config, Features, Strategies
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.features import InputVectors
from gpu_coldstart.segments import Segments
from gpu_coldstart.spaces import Space
from gpu_coldstart.strategies import Ranking, Situation
from tests.worlds import hand_logs, sparse, types

N_WARM, N_COLD, N_TRACKS, D, N_SEGMENTS = 12, 7, 20, 6, 4


class World:
    """Host copies of everything in the situation, for the oracles."""

    def __init__(self, seed: int = 0):
        random = np.random.default_rng(seed)
        history = random.integers(1, 5, (N_WARM, N_TRACKS))
        history = history * (random.random(history.shape) < 0.3)
        order = np.argsort(-(history > 0).sum(axis=0), kind="stable")
        self.history: HostArray = history[:, order]
        first = random.integers(1, 4, (N_COLD, N_TRACKS))
        self.day_one: HostArray = first * (random.random(first.shape) < 0.2)
        self.day_one[3] = 0  # streamed nothing on registration day
        self.day_one[5] = 0
        self.day_one[5, 4] = 2  # one track, which has no place in the space
        # Integers, so that inner products are exact and tie.
        self.tracks: HostArray = random.integers(-2, 3, (N_TRACKS, D)).astype(np.float32)
        self.tracks[4] = 0
        self.predictions: HostArray = random.integers(-2, 3, (N_COLD, D)).astype(np.float32)
        self.centroids: HostArray = random.normal(size=(N_SEGMENTS, D)).astype(np.float32)
        shares = random.integers(1, 9, (N_SEGMENTS, N_TRACKS)) / 8
        self.shares: HostArray = shares * (random.random(shares.shape) < 0.3)
        self.shares[2] = 0
        self.shares[2, [11, 13, 17]] = [0.5, 1.0, 0.5]
        self.users: HostArray = np.eye(N_WARM, D, dtype=np.float32)

    @property
    def popularity(self) -> HostArray:
        streamed: HostArray = (self.history > 0).sum(axis=0)
        return streamed

    def situation(self, engine: Engine, **options: Any) -> Situation:
        logs = hand_logs(engine, self.history, cold_day_one=self.day_one, n_validation=2)
        space = Space("tt-svd", engine.asarray(self.tracks), engine.asarray(self.users))
        segments = Segments(
            engine.asarray(self.centroids),
            engine.asarray((np.arange(N_WARM) % N_SEGMENTS).astype(np.int32)),
            sparse(engine, self.shares),
            0.0,
        )
        config = Config(strategies=Strategies(**options))
        return Situation(
            engine,
            logs,
            config,
            space,
            segments,
            InputVectors(engine, logs, space, Features(scalars="raw")),
            engine.asarray(self.predictions),
        )


def numbers(engine: Engine, *cold: int) -> Any:
    """User numbers of cold users, all of them unless some are named."""
    return engine.asarray(N_WARM + np.array(cold or range(N_COLD)))


def lists(engine: Engine, ranking: Ranking) -> tuple[list[list[int]], HostArray]:
    """Tracks and scores, after a check of their types."""
    tracks, scores = engine.to_host(ranking.tracks), engine.to_host(ranking.scores)
    assert types(tracks, scores) == ["int32", "float32"]
    assert tracks.shape == scores.shape
    return tracks.tolist(), scores
