"""A small network to train, and what to train it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from gpu_coldstart.config.components import MlpConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray
from gpu_coldstart.features import InputVectors
from gpu_coldstart.models import Network, train
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.predicting import predict

N_WARM, N_VALIDATION, WIDTH, D = 50, 20, 9, 4
OPTIONS = MlpConfig(hidden=(16, 8), batch_size=16, learning_rate=0.01, patience=0)


class Inputs:
    """Stands in for the input vectors: rows of one table."""

    def __init__(self, engine: Engine, n: int = N_WARM + N_VALIDATION):
        self.width = WIDTH
        self.host = np.random.default_rng(1).normal(size=(n, WIDTH)).astype(np.float32)
        self._rows = engine.asarray(self.host)

    def batch(self, users: Array) -> Array:
        return self._rows[users]

    def table(self, users: Array) -> Callable[[Array], Array]:
        return lambda places: self._rows[users[places]]


def inputs_of(engine: Engine, n: int = N_WARM + N_VALIDATION) -> InputVectors:
    return cast("InputVectors", Inputs(engine, n))


def targets_of(inputs: InputVectors) -> HostArray:
    """Unit targets that the vectors determine."""
    host = cast("Inputs", inputs).host
    raw = np.tanh(host @ np.random.default_rng(2).normal(size=(WIDTH, D)))
    unit: HostArray = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def fit(
    engine: Engine,
    options: MlpConfig = OPTIONS,
    *,
    epochs: int = 3,
    seed: int = 0,
    n_warm: int = N_WARM,
    validation: HostArray | None = None,
    inputs: InputVectors | None = None,
    progress: Any = lambda done, of, text: None,
) -> Network:
    inputs = inputs or inputs_of(engine)
    targets = targets_of(inputs)
    if validation is None:
        validation = targets[N_WARM:]
    return train(
        engine,
        inputs,
        warm=(engine.asarray(np.arange(n_warm)), engine.asarray(targets[:n_warm])),
        validation=(
            engine.asarray(np.arange(N_WARM, N_WARM + N_VALIDATION)),
            engine.asarray(validation),
        ),
        options=options,
        epochs=epochs,
        seed=seed,
        progress=progress,
    )


def weights(network: Network) -> dict[str, HostArray]:
    return {name: value.cpu().numpy() for name, value in network.model.state_dict().items()}


def cosine(engine: Engine, network: Network) -> float:
    """Mean cosine of the validation users, from the network's predictions."""
    inputs = inputs_of(engine)
    users = engine.asarray(np.arange(N_WARM, N_WARM + N_VALIDATION))
    places = predict(engine, inputs, feedforward(engine, network.model), users)
    found = engine.to_host(places).astype(np.float64)
    wanted = targets_of(inputs)[N_WARM:]
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(axis=1) / lengths).mean())
