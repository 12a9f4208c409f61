"""Learning everything that a space needs, in the order of the paper's Section 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from torch import nn

from gpu_coldstart import __version__, segments, strategies
from gpu_coldstart.bundle import Model
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import (
    Checkpoint,
    Network,
    check_batches,
    predict,
    train,
    validation_targets,
)
from gpu_coldstart.registry import MODELS, STRATEGIES, section
from gpu_coldstart.spaces import Progress, Space
from gpu_coldstart.strategies import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.carousels import Offer

__all__ = ["Fitted", "context_of", "fit_space", "mean_ndcg", "past_of", "train_network"]


@dataclass(frozen=True)
class Fitted:
    """A fitted model in memory.

    Attributes
    ----------
    about : dict
        What it was fitted on, for human readers: dates, sizes, versions, notes.
    model : Model
    network : Module
        From input vectors to places in the space.
    described : mapping
        :func:`gpu_coldstart.segments.describe` of the segments.
    context : Context
        What all strategies recommend from.
    strategies : dict of name to Strategy
    """

    about: dict[str, Any]
    model: Model
    network: nn.Module
    described: Mapping[str, Any]
    context: Context
    strategies: dict[str, Strategy]


def fit_space(engine: Engine, dataset: Dataset, config: Config, progress: Progress) -> Fitted:
    """Learn the first configured space and what recommends in it.

    Raises
    ------
    UserError
        For data that cannot be used, or settings that it cannot serve.
    """
    logs, truth = dataset.index(engine, config, progress, tested=False)
    check_batches(config.of(config.model), logs.n_warm, section(config.model))
    space = dataset.space(config.spaces[0], engine, logs, config, progress)
    cut = segments.fit(engine, logs, space, config.segments, config.seed)
    inputs, builder = dataset.inputs(engine, logs, space, config)
    if builder is None:
        raise UserError(
            f"{dataset!r} brings input vectors ready made, so new users' cannot be built from "
            "their events: fit on logs"
        )
    network = train_network(
        engine, logs, truth, space=space, inputs=inputs, config=config, progress=progress
    )
    context = context_of(engine, logs, space, cut, config)
    validation = engine.xp.arange(logs.n_warm, logs.n_warm + logs.n_validation)
    users = Users(
        logs.registrations,
        inputs,
        validation,
        predict(engine, inputs, network.model, validation),
    )
    past = past_of(engine, logs, truth, space=space, cut=cut, validation=users, config=config)
    made = {}
    for name in config.strategies.names:
        kind, parameters = STRATEGIES.get(name), strategies.parameters_of(name, config)
        made[name] = kind(context, parameters, kind.fit(context, parameters, past, progress))
    model = Model(
        space.name,
        builder,
        cut.centroids,
        cut.shares,
        context.chart,
        Entities.of(engine, logs),
        Offer.fit(engine, logs, space, config.carousels),
    )
    described = segments.describe(engine, logs, cut, config.features.age_classes)
    about = _about(logs, space, network, inputs)
    return Fitted(about, model, network.model, described, context, made)


def context_of(
    engine: Engine, logs: Logs, space: Space, cut: segments.Segments, config: Config
) -> Context:
    """What all strategies recommend from, with the configured settings."""
    return Context.of(
        engine,
        logs,
        space,
        cut,
        popularity=config.segments.popularity,
        similarity=config.strategies.similarity,
        seed=config.seed,
    )


def past_of(
    engine: Engine,
    logs: Logs,
    truth: GroundTruth,
    *,
    space: Space,
    cut: segments.Segments,
    validation: Users,
    config: Config,
) -> Past:
    """What a strategy may learn its state from."""
    known = truth.of(engine, "validation")
    return Past(
        logs,
        space,
        cut,
        validation.inputs,
        config.segments,
        validation,
        lambda ranking: mean_ndcg(engine, ranking, known),
    )


def train_network(
    engine: Engine,
    logs: Logs,
    truth: GroundTruth,
    *,
    space: Space,
    inputs: Inputs,
    config: Config,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Network:
    """Train the network on the warm users (3.2.3); validation users' truth stops it early."""
    options = config.of(config.model)
    every = engine.xp.arange(logs.n_users)
    targets = validation_targets(engine, truth.of(engine, "validation"), space)
    return train(
        engine,
        inputs,
        warm=(every[logs.users("warm")], space.users),
        validation=(every[logs.users("validation")], targets),
        options=options,
        epochs=options.epochs_in(space.name),
        seed=config.seed,
        progress=progress,
        checkpoint=checkpoint,
        kind=MODELS.get(config.model),
    )


def mean_ndcg(engine: Engine, ranking: Ranking, truth: Csr) -> float:
    """Mean NDCG of whole lists [users, k] against the tracks streamed next [users, tracks]."""
    k = int(ranking.tracks.shape[1])
    measured: Array = engine.rank_metrics(ranking.tracks, truth, [k]).ndcg[0]
    return float(measured.mean())


def _about(logs: Logs, space: Space, network: Network, inputs: Inputs) -> dict[str, Any]:
    """What a bundle says of itself."""
    return {
        "space": space.name,
        "network": {"inputs": inputs.width, "outputs": space.dimension},
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
