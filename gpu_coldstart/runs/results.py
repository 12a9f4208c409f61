"""What the stages of a space came to, as the values that the evaluation takes."""

from __future__ import annotations

from collections.abc import Mapping
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
from gpu_coldstart.evaluation.tables import rows_of
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.learned import Learned
from gpu_coldstart.runs.stages import Given
from gpu_coldstart.spaces.similarity import similarity_in
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
        When the evaluation was not asked for.
    """
    if learned.warm is None or learned.examples is None:
        raise ValueError("the evaluation needs the predictions of warm users, and examples")
    host, (logs, truth) = engine.to_host, data
    space, cut, network = given[learned.space], given[learned.segments], given[learned.network]
    shares = tuple(map(host, (cut.shares.data, cut.shares.indices, cut.shares.indptr)))
    shown = {} if learned.carousels is None else given[learned.carousels]
    states = {strategy: given[stage] for strategy, stage in learned.states.items()}
    predicted = given[learned.predictions].embeddings
    tested = predicted[logs.n_validation : logs.n_validation + logs.n_test]
    nearest, _ = engine.nearest(tested, cut.centroids, 1)
    audience = Audience(
        tested,
        truth.of(engine, "test"),
        similarity_in(name, config.strategies.similarity),
        max(config.evaluation.k),
    )
    held_out = new_releases(
        engine, logs, space.tracks, audience, config.new_releases, seed=config.seed
    )
    return SpaceResults(
        users=host(space.users),
        tracks=host(space.tracks),
        predictions={
            "warm": host(given[learned.warm].embeddings),
            "validation": host(predicted[: logs.n_validation]),
        },
        curve=Curve(network.train_loss, network.validation_cosine, network.best_epoch),
        strategy_curves={
            strategy: state.curve for strategy, state in states.items() if hasattr(state, "curve")
        },
        blendings={
            strategy: blending.on(host)
            for strategy, state in states.items()
            if (blending := STRATEGIES.get(strategy).blending(state)) is not None
        },
        segments=given[learned.descriptions][paths.descriptions(name)],
        nearest=host(nearest[:, 0]),
        shares=sparse.csr_array(shares, shape=cut.shares.shape),
        lists={
            strategy: _tested(logs, given[stage].lists, "track")
            for strategy, stage in learned.strategies.items()
        },
        examples=rows_of(given[learned.examples]),
        new_releases=list(held_out),
        carousels={
            arm: _tested(logs, shown[paths.carousel(name, arm)], "playlist")
            for arm in ARMS
            if paths.carousel(name, arm) in shown
        },
    )


def _tested(logs: Logs, columns: Mapping[str, Any], kind: str) -> HostArray:
    """Ids in the test users' lists [test users, K]; they come before the targets'."""
    k = int(np.max(columns["rank"]))
    ids = pa.array(columns[f"{kind}_id"])[: logs.n_test * k]
    return logs.ids.codes(kind, ids).reshape(logs.n_test, k)
