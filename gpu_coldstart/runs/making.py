"""Implementations of the stages that take more than one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights

from gpu_coldstart import segments, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import (
    Checkpoint,
    Network,
    restore,
    train,
    validation_targets,
)
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.predicting import predict
from gpu_coldstart.registry import MODELS
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import json_bytes, parquet_bytes, read_json, read_table
from gpu_coldstart.runs.stages import Codec, Given
from gpu_coldstart.runs.store import Files
from gpu_coldstart.spaces import Progress, Space
from gpu_coldstart.spaces.new_releases import with_new_releases
from gpu_coldstart.spaces.similarity import similarity_in
from gpu_coldstart.strategies import Context, Past, Ranking, Users, carousels

__all__ = [
    "TABLES",
    "Predictions",
    "Prepared",
    "Recommendations",
    "Tables",
    "context_of",
    "embed",
    "mean_ndcg",
    "network_codec",
    "past_of",
    "predictions",
    "prepare",
    "recommend",
    "recommendations_codec",
    "show",
    "train_network",
]


Tables: TypeAlias = dict[str, dict[str, Any]]
"""Host columns by the path of their file."""

TABLES: Codec[Tables] = Codec(
    lambda given, tables: {path: parquet_bytes(columns) for path, columns in tables.items()},
    lambda files: {path: read_table(content).to_pydict() for path, content in files.items()},
)
"""Tables of host columns, a file each."""


@dataclass(frozen=True)
class Predictions:
    """Where the network puts some users: all cold ones, or the warm [users, d]."""

    embeddings: Array


@dataclass(frozen=True)
class Prepared:
    """What strategies recommend with, in one space.

    Attributes
    ----------
    context : Context
    past : Past
        For strategies that learn something of their own.
    users : Users
        The test users, then the target users.
    """

    context: Context
    past: Past
    users: Users


@dataclass(frozen=True)
class Recommendations:
    """What one strategy recommends, and how good that is for the test users.

    Attributes
    ----------
    lists : dict of column to array [(test + target users) * K]
        ``user_id``, ``cohort``, ``rank``, ``track_id``, ``score``.
    measures : dict of column to array [test users]
        ``user_id``, then each measure as ``precision@50``.
    """

    lists: dict[str, Any]
    measures: dict[str, HostArray]


def embed(
    engine: Engine,
    config: Config,
    dataset: Dataset,
    name: str,
    *,
    logs: Logs,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Space:
    """An embedding space, with places for tracks without history if they are to have some."""
    space = dataset.space(name, engine, logs, config, progress, checkpoint=checkpoint)
    if not config.new_releases.place:
        return space
    return with_new_releases(engine, logs, space, config.new_releases)


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
    after_epoch: Callable[[int, Array], None] = lambda epoch, places: None,
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
        after_epoch=after_epoch,
        kind=MODELS.get(config.model),
    )


def network_codec(engine: Engine, config: Config, space: str) -> Codec[Network]:
    """A network as its weights and the curve of its training."""
    weights_path, curve_path = paths.network(space), paths.curve(space)

    def encoded(given: Given, value: Network) -> Files:
        del given
        weights = {
            key: tensor.cpu().contiguous() for key, tensor in value.model.state_dict().items()
        }
        curve = {
            "inputs": value.inputs,
            "outputs": value.outputs,
            "train_loss": value.train_loss,
            "validation_cosine": value.validation_cosine,
            "best_epoch": value.best_epoch,
        }
        return {weights_path: save_weights(weights), curve_path: json_bytes(curve)}

    def decoded(files: Files) -> Network:
        curve = read_json(files[curve_path], dict)
        return Network(
            restore(
                engine,
                MODELS.get(config.model),
                config.of(config.model),
                load_weights(files[weights_path]),
                inputs=int(curve["inputs"]),
                outputs=int(curve["outputs"]),
            ),
            int(curve["inputs"]),
            int(curve["outputs"]),
            tuple(curve["train_loss"]),
            tuple(curve["validation_cosine"]),
            int(curve["best_epoch"]),
        )

    return Codec(encoded, decoded)


def predictions(
    engine: Engine, logs: Logs, inputs: Inputs, network: Network, *, warm: bool
) -> Predictions:
    """Where the network puts the warm users, or all others."""
    which = slice(0, logs.n_warm) if warm else slice(logs.n_warm, None)
    users = engine.xp.arange(logs.n_users)[which]
    return Predictions(predict(engine, inputs, feedforward(engine, network.model), users))


def prepare(
    engine: Engine,
    config: Config,
    *,
    logs: Logs,
    truth: GroundTruth,
    space: Space,
    cut: segments.Segments,
    inputs: Inputs,
    predicted: Predictions,
) -> Prepared:
    """Gather what strategies work with; of the truth, only the validation users'."""
    cold = engine.xp.arange(logs.n_warm, logs.n_users)
    users = Users(logs.registrations, inputs, cold, predicted.embeddings)
    validation = users.take(slice(logs.n_validation))
    past = past_of(engine, logs, truth, space=space, cut=cut, validation=validation, config=config)
    context = context_of(engine, logs, space, cut, config)
    return Prepared(context, past, users.take(slice(logs.n_validation, None)))


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
        similarity=similarity_in(space.name, config.strategies.similarity),
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
        known,
    )


def mean_ndcg(engine: Engine, ranking: Ranking, truth: Csr) -> float:
    """Mean NDCG of whole lists [users, k] against the tracks streamed next [users, tracks]."""
    k = int(ranking.tracks.shape[1])
    measured: Array = engine.rank_metrics(ranking.tracks, truth, [k]).ndcg[0]
    return float(measured.mean())


def recommend(
    config: Config,
    name: str,
    prepared: Prepared,
    truth: GroundTruth,
    *,
    states: Mapping[str, Any],
    progress: Progress,
) -> Recommendations:
    """Rank tracks for the test and target users, and measure the former's lists."""
    context, logs, users = prepared.context, prepared.past.logs, prepared.users
    engine, ks = context.engine, config.evaluation.k
    ranking = strategies.recommend(
        strategies.made(name, config, context, states),
        users,
        max(ks),
        exclude_seen=config.strategies.exclude_seen,
        progress=lambda done: progress(done, len(users), "users"),
    )
    metrics = engine.rank_metrics(ranking.tracks[: logs.n_test], truth.of(engine, "test"), ks)
    ids = engine.to_host(logs.user_ids[users.numbers])
    return Recommendations(
        {
            "user_id": logs.ids.names("user", np.repeat(ids, max(ks))),
            "cohort": _cohorts(logs, max(ks)),
            "rank": np.tile(np.arange(1, max(ks) + 1, dtype=np.int32), len(ids)),
            "track_id": logs.ids.names("track", engine.to_host(logs.track_ids[ranking.tracks])),
            "score": engine.to_host(ranking.scores).ravel(),
        },
        {"user_id": logs.ids.names("user", ids[: logs.n_test])}
        | {
            f"{measure}@{k}": engine.to_host(getattr(metrics, measure)[i])
            for i, k in enumerate(ks)
            for measure in MEASURES
        },
    )


def recommendations_codec(space: str, strategy: str) -> Codec[Recommendations]:
    """Lists and measures as a Parquet file each."""
    lists, measures = paths.ranking(space, strategy), paths.measures(space, strategy)

    def columns(content: bytes) -> dict[str, Any]:
        table = read_table(content)
        return {name: table.column(name).to_numpy() for name in table.column_names}

    return Codec(
        lambda given, value: {
            lists: parquet_bytes(value.lists),
            measures: parquet_bytes(value.measures),
        },
        lambda files: Recommendations(columns(files[lists]), columns(files[measures])),
    )


def show(config: Config, prepared: Prepared) -> dict[str, dict[str, Any]]:
    """The carousels of each arm as table columns; empty without playlists to show."""
    context, past, users = prepared.context, prepared.past, prepared.users
    engine, logs = context.engine, past.logs
    offer = carousels.Offer.fit(engine, logs, past.space, config.carousels)
    explained = carousels.explanations(
        segments.describe(engine, logs, past.segments, config.features.age_classes)
    )
    tables = {
        arm: carousels.columns(
            engine,
            logs.user_ids[users.numbers],
            logs.playlist_ids,
            carousel,
            explained,
            ids=logs.ids,
            titles=logs.titles,
        )
        for arm, carousel in carousels.carousels(context, offer, users).items()
    }
    return {
        arm: table | {"cohort": _cohorts(logs, len(table["rank"]) // len(users))}
        for arm, table in tables.items()
    }


def _cohorts(logs: Logs, k: int) -> pa.DictionaryArray:
    """Cohort of each row of the lists of test and target users, of ``k`` rows each."""
    codes = np.repeat(np.array([0, 1], np.int8), [k * logs.n_test, k * logs.n_target])
    return pa.DictionaryArray.from_arrays(codes, ["test", "target"])
