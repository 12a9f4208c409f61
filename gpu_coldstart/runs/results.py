"""What the stages of a space came to, as the values that the evaluation takes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Engine, HostArray
from gpu_coldstart.evaluation.analysis import Curve, SpaceResults
from gpu_coldstart.evaluation.new_releases import Audience, new_releases
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.flow import Learned
from gpu_coldstart.runs.stages import Given
from gpu_coldstart.strategies.carousels import ARMS

__all__ = ["space_results"]


def space_results(
    engine: Engine,
    given: Given,
    name: str,
    learned: Learned,
    *,
    data: tuple[Logs, GroundTruth],
    config: Config,
) -> SpaceResults:
    """Everything one embedding space led to, on the host, for the users who are measured.

    Raises
    ------
    ValueError
        When the predictions of warm users were not asked for.
    """
    if learned.warm is None:
        raise ValueError("the evaluation needs the predictions of warm users")
    host, (logs, truth) = engine.to_host, data
    space, cut, network = given[learned.space], given[learned.segments], given[learned.network]
    shares = tuple(map(host, (cut.shares.data, cut.shares.indices, cut.shares.indptr)))
    shown = {} if learned.carousels is None else given[learned.carousels]

    tested = slice(logs.n_validation, logs.n_validation + logs.n_test)
    audience = Audience(
        given[learned.predictions].embeddings[tested],
        truth.of(engine, "test"),
        config.strategies.similarity,
        max(config.evaluation.k),
    )
    states = {strategy: given[stage] for strategy, stage in learned.states.items()}

    def listed(columns: dict[str, Any], kind: str) -> HostArray:
        """Ids in the test users' lists [test users, K]; they come before the targets'."""
        k = int(np.max(columns["rank"]))
        shown = pa.array(columns[f"{kind}_id"])[: logs.n_test * k]
        return logs.ids.codes(kind, shown).reshape(logs.n_test, k)

    return SpaceResults(
        users=host(space.users),
        tracks=host(space.tracks),
        predictions={
            "warm": host(given[learned.warm].embeddings),
            "validation": host(given[learned.predictions].embeddings[: logs.n_validation]),
        },
        curve=Curve(network.train_loss, network.validation_cosine, network.best_epoch),
        strategy_curves={
            strategy: state.curve for strategy, state in states.items() if _has(state, "curve")
        },
        strategy_experts={
            strategy: [
                (name, added, name in state.experts)
                for name, added in zip(state.tried, state.added, strict=True)
            ]
            for strategy, state in states.items()
            if _has(state, "tried", "added", "experts")
        },
        strategy_blends={
            strategy: [
                (*each, state.single) for each in zip(state.users, state.reached, strict=True)
            ]
            for strategy, state in states.items()
            if _has(state, "users", "reached", "single")
        },
        strategy_weights={
            strategy: [*zip(weighed, host(state.weights).tolist(), strict=True)]
            for strategy, state in states.items()
            if (weighed := STRATEGIES.get(strategy).weighed(state))
        },
        trade_offs={
            strategy: replace(
                each, users=host(each.users), tracks=host(each.tracks), ndcg=host(each.ndcg)
            )
            for strategy, state in states.items()
            if _has(state, "trade_off")
            for each in [state.trade_off]
        },
        segments=given[learned.descriptions][paths.descriptions(name)],
        shares=sparse.csr_array(shares, shape=cut.shares.shape),
        lists={
            strategy: listed(given[stage].lists, "track")
            for strategy, stage in learned.strategies.items()
        },
        new_releases=[
            *new_releases(
                engine, logs, space.tracks, audience, config.new_releases, seed=config.seed
            )
        ],
        carousels={
            arm: listed(shown[paths.carousel(name, arm)], "playlist")
            for arm in ARMS
            if paths.carousel(name, arm) in shown
        },
    )


def _has(state: Any, *names: str) -> bool:
    """Whether a strategy's state has fields of these names."""
    return set(names) <= {field.name for field in fields(state)}
