"""Fitted models, from the stages of a run: done in memory, or read from a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_coldstart import __version__, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.environment import versions_of_run
from gpu_coldstart.runs.fingerprint import fingerprint
from gpu_coldstart.runs.finished import FinishedStages
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.stages import Given, InMemory
from gpu_coldstart.serving.about import about_logs, digests_of, quality_of
from gpu_coldstart.serving.model import Fitted, Model
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.carousels import Offer

__all__ = ["fit", "of_run"]


def fit(engine: Engine, dataset: Dataset, config: Config, progress: Progress) -> Fitted:
    """Learn the first configured space and what recommends in it.

    Raises
    ------
    UserError
        For data that cannot be used, or settings that it cannot serve.
    """
    flow = Flow(engine, config, dataset, {}, progress=progress, tested=False)
    fitted = _gathered(flow, InMemory(), config.spaces[0], repr(dataset))
    return _told(
        fitted,
        {"name": None, "sha256": digests_of(fingerprint(dataset.files()))},
        fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions_of_run(config, engine.name),
        quality=None,
    )


def of_run(engine: Engine, path: Path, space: str | None = None) -> tuple[Fitted, Config]:
    """What a finished run learned in one space, and its settings; nothing is learned again.

    Parameters
    ----------
    path : Path
        The run directory.
    space : str, or None
        One of the run's spaces; None for its first.

    Raises
    ------
    UserError
        When there is no finished run, a file of it is damaged or missing, it has no such space, or
        its data set brings input vectors ready made.
    """
    run = FinishedStages(engine, path)
    config = run.config
    name = space or config.spaces[0]
    if name not in config.spaces:
        raise UserError(
            f"{path} holds a run without the space '{name}': it has {', '.join(config.spaces)}"
        )
    fitted = _told(
        _gathered(run.flow, run, name, f"the data set '{config.dataset}'"),
        {"name": config.dataset, "sha256": digests_of(run.files)},
        fitted_at=run.finished_at,
        versions=run.identity.get("versions", {}),
        quality=quality_of(run, name),
    )
    # A bundle travels; where the logs were on this machine is no part of the model.
    return fitted, config.model_copy(update={"spaces": (name,), "data": ""})


def _told(fitted: Fitted, data: Mapping[str, Any], **about: Any) -> Fitted:
    """The model, with what it is to say of its data and of itself."""
    fitted.about.update(about)
    fitted.about["data"].update(data)
    return fitted


def _gathered(flow: Flow, given: Given, name: str, source: str) -> Fitted:
    """The model out of the stages of a space; ``source`` is the data set, for a message."""
    engine, config, learned = flow.engine, flow.config, flow.learned[name]
    logs, _ = given[flow.data]
    space = given[learned.space]
    builder = given[learned.inputs].builder
    if builder is None:
        raise UserError(
            f"{source} brings input vectors ready made, so new users' cannot be built from "
            "their events: fit on logs"
        )
    cut, network = given[learned.segments], given[learned.network]
    context = given[learned.prepared].context
    states = {
        way: STRATEGIES.get(way).served(given[stage]) for way, stage in learned.states.items()
    }
    model = Model(
        space.name,
        builder,
        cut.centroids,
        cut.shares,
        context.chart,
        Entities.of(engine, logs),
        Offer.fit(engine, logs, space, config.carousels),
        space.relations,
    )
    about = {
        "space": space.name,
        "network": {"inputs": network.inputs, "outputs": network.outputs},
        "version": __version__,
        "data": about_logs(engine, logs),
        "validation_cosine": network.validation_cosine[network.best_epoch - 1],
        "notes": [*logs.notes, *space.notes],
    }
    return Fitted(
        about,
        model,
        feedforward(engine, network.model),
        given[learned.descriptions][paths.descriptions(space.name)],
        context,
        states,
        {way: strategies.made(way, config, context, states) for way in config.strategies.names},
    )
