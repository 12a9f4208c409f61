"""Fitting a model: the stages of a run, in memory, as far as recommending needs them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gpu_coldstart import __version__, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.models import Network
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.stages import InMemory
from gpu_coldstart.serving.model import Fitted, Model
from gpu_coldstart.spaces import Progress, Space
from gpu_coldstart.strategies.carousels import Offer

__all__ = ["fit"]


def fit(engine: Engine, dataset: Dataset, config: Config, progress: Progress) -> Fitted:
    """Learn the first configured space and what recommends in it.

    Raises
    ------
    UserError
        For data that cannot be used, or settings that it cannot serve.
    """
    flow = Flow(engine, config, dataset, {}, progress=progress, tested=False)
    learned, given = flow.learned[config.spaces[0]], InMemory()
    logs, _ = given[flow.data]
    space = given[learned.space]
    builder = given[learned.inputs].builder
    if builder is None:
        raise UserError(
            f"{dataset!r} brings input vectors ready made, so new users' cannot be built from "
            "their events: fit on logs"
        )
    cut, network, prepared = (
        given[learned.segments],
        given[learned.network],
        given[learned.prepared],
    )
    context = prepared.context
    states = {
        name: STRATEGIES.get(name).served(given[stage]) for name, stage in learned.states.items()
    }
    made = {
        name: strategies.made(name, config, context, states) for name in config.strategies.names
    }
    model = Model(
        space.name,
        builder,
        cut.centroids,
        cut.shares,
        context.chart,
        Entities.of(engine, logs),
        Offer.fit(engine, logs, space, config.carousels),
    )
    described = given[learned.descriptions][paths.descriptions(space.name)]
    return Fitted(
        _about(logs, space, network),
        model,
        feedforward(engine, network.model),
        described,
        context,
        states,
        made,
    )


def _about(logs: Logs, space: Space, network: Network) -> dict[str, Any]:
    """What a bundle says of itself."""
    return {
        "space": space.name,
        "network": {"inputs": network.inputs, "outputs": network.outputs},
        "fitted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "data": {
            "first_day": day_name(logs.days[0]),
            "last_day": day_name(logs.days[1]),
            "warm_users": logs.n_warm,
            "validation_users": logs.n_validation,
            "tracks": logs.n_tracks,
            "split": logs.split_rule,
        },
        "validation_cosine": network.validation_cosine[network.best_epoch - 1],
        "notes": [*logs.notes, *space.notes],
    }
