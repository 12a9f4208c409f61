"""A small context made by hand, for the strategies to recommend in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from gpu_coldstart import registry
from gpu_coldstart.config.parameters import FeaturesConfig, SegmentsConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Csr, Feedforward, HostArray
from gpu_coldstart.features import FeatureBuilder, InputVectors
from gpu_coldstart.segments import Segments, shares_of
from gpu_coldstart.spaces import Space
from gpu_coldstart.strategies import Context, Past, Ranking, Strategy, Users, input_features
from tests.worlds import hand_logs, sparse, types

N_WARM, N_COLD, N_TRACKS, D, N_SEGMENTS = 12, 7, 20, 6, 4

SMALL: dict[str, dict[str, Any]] = {
    "dropoutnet-full": {"hidden": (7, 5), "rank": 4, "epochs": 3},
    "melu-full": {"embedding": 5, "hidden": 6, "epochs": 3},
    **{
        name: {"hidden": 5, "tracks": 3, "epochs": 2}
        for name in ("heater", "clcrec", "gar", "aldi")
    },
}
"""Settings of strategies that take long to learn."""


@dataclass(frozen=True)
class Stage:
    """All that a strategy is made of and recommends to.

    Attributes
    ----------
    context : Context
    past : Past
    users : Users
        All cold users, validation users first.
    """

    context: Context
    past: Past
    users: Users

    def strategy(self, name: str, **parameters: Any) -> Strategy:
        """A strategy, fitted where it has a state."""
        kind: type[Strategy] = registry.STRATEGIES.get(name)
        chosen = kind.Parameters(**parameters)
        experts = {
            each: self.strategy(each, **SMALL.get(each, {})) for each in kind.experts_of(chosen)
        }
        past = replace(self.past, experts=experts)
        state = kind.fit(self.context, chosen, past, lambda *_: None)
        return kind(self.context, chosen, state, **({"experts": experts} if experts else {}))

    def some(self, *cold: int) -> Users:
        """Cold users by place, counted from the first one."""
        return self.users.take(self.context.engine.asarray(np.array(cold)))

    def scaled(self, scalars: HostArray) -> Stage:
        """The same, where these [users, 19] are the scalars of all input vectors."""
        self.past.inputs.scalars = self.context.engine.asarray(scalars)
        return self


class World:
    """Host copies of everything in the context, for the oracles."""

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
        self.wanted: HostArray = (random.random((N_COLD, N_TRACKS)) < 0.3) * 1.0

    @property
    def popularity(self) -> HostArray:
        streamed: HostArray = (self.history > 0).sum(axis=0)
        return streamed

    def stage(
        self,
        engine: Engine,
        *,
        similarity: str = "cosine",
        popularity: Any = "members",
        labels: Any = None,
        score: Callable[[Ranking], float] | None = None,
        **more: Any,
    ) -> Stage:
        """Everything about this world; ``more`` goes to :func:`tests.worlds.hand_logs`.

        ``score`` is what strategies are tuned by; any number of a ranking will do.
        """
        logs = hand_logs(
            engine, self.history, cold_day_one=self.day_one, **({"n_validation": 2} | more)
        )
        space = Space("tt-svd", engine.asarray(self.tracks), engine.asarray(self.users))
        if labels is None:
            labels = np.arange(N_WARM) % N_SEGMENTS
        segments = Segments(
            engine.asarray(self.centroids),
            engine.asarray(np.asarray(labels, np.int32)),
            sparse(engine, self.shares),
            0.0,
        )
        context = Context.of(
            engine, logs, space, segments, popularity=popularity, similarity=similarity
        )
        builder = FeatureBuilder.fit(engine, logs, space, FeaturesConfig(scalars="raw"))
        inputs = InputVectors(engine, builder, logs.registrations)
        users = Users(
            logs.registrations,
            inputs,
            engine.asarray(N_WARM + np.arange(N_COLD)),
            engine.asarray(self.predictions),
        )
        clustering = SegmentsConfig(popularity=popularity)
        validation = users.take(slice(logs.n_validation))
        truth = sparse(engine, self.wanted[: logs.n_validation])
        past = Past(
            logs, space, segments, inputs, clustering, validation, score or _mean_score, truth
        )
        return Stage(context, past, users)


def _mean_score(ranking: Ranking) -> float:
    return float(ranking.scores.mean())


def lists(engine: Engine, ranking: Ranking) -> tuple[list[list[int]], HostArray]:
    """Tracks and scores, after a check of their types."""
    tracks, scores = engine.to_host(ranking.tracks), engine.to_host(ranking.scores)
    assert types(tracks, scores) == ["int32", "float32"]
    assert tracks.shape == scores.shape
    return tracks.tolist(), scores


def counted_labels(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """Collect the segments of the warm users by which input-features strategies count shares.

    A strategy does not keep them: it recommends without.
    """
    counted: list[Array] = []

    def noting(engine: Engine, plays: Csr, labels: Array, k: int, *, of: str) -> Csr:
        counted.append(labels)
        return shares_of(engine, plays, labels, k, of=of)

    monkeypatch.setattr(input_features, "shares_of", noting)
    return counted


def arrays_of(engine: Engine, network: Feedforward) -> list[HostArray]:
    """Weights and offset of each layer, one after the other."""
    return [
        engine.to_host(array) for layer in network.layers for array in (layer.weights, layer.offset)
    ]
