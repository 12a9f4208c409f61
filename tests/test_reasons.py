"""Each signal's share in a prediction against plain leaving-out, one signal and user at a time."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.testing import assert_allclose
from torch import nn

from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.serving.reasons import signal_shares

D = 3
WIDTH = len(BLOCKS) * D + len(SCALARS)


class Given(Inputs):
    """Input vectors as they are."""

    width = WIDTH

    def __init__(self, engine: Engine, vectors: HostArray):
        super().__init__(engine)
        self._vectors = engine.asarray(vectors)
        self.scalars = self._vectors[:, -len(SCALARS) :]

    def batch(self, users: Array) -> Array:
        return self._vectors[users]

    def signal(self, name: str, users: Array) -> Array:
        raise NotImplementedError


def naive(model: nn.Module, vector: HostArray, unknown: HostArray) -> list[float]:
    """How far the prediction moves without each signal, divided by the sum."""

    def place(changed: HostArray) -> HostArray:
        with torch.inference_mode():
            found: HostArray = model(torch.from_numpy(changed[None])).numpy()[0]
        return found

    moved = []
    for number, block in enumerate(BLOCKS):
        without = vector.copy()
        without[number * D : (number + 1) * D] = 0
        for scalar, name in enumerate(SCALARS):
            if name in {f"nb_{block}", f"{block}_value"}:
                without[len(BLOCKS) * D + scalar] = unknown[scalar]
        moved.append(float(np.linalg.norm(place(without) - place(vector))))
    return [part / sum(moved) if sum(moved) else 0.0 for part in moved]


def test_shares_are_what_leaving_out_moves(engine: Engine) -> None:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, D)).eval()
    unknown = random.normal(size=len(SCALARS)).astype(np.float32)
    vectors = random.normal(size=(70, WIDTH)).astype(np.float32)
    vectors *= random.random(vectors.shape) < 0.5
    vectors[3] = 0
    vectors[3, -len(SCALARS) :] = unknown  # of whom nothing is known
    users = np.array([3, 69, 0, 41])
    there = engine.to_torch(engine.asarray(unknown)).device
    shares = engine.to_host(
        signal_shares(
            engine,
            feedforward(engine, deepcopy(model).to(there)),
            Given(engine, vectors),
            engine.asarray(users),
            engine.asarray(unknown),
        )
    )
    assert shares.shape == (4, len(BLOCKS))
    assert_allclose(shares.sum(axis=1), [0, 1, 1, 1], atol=1e-6)
    for row, user in zip(shares, users, strict=True):
        assert_allclose(row, naive(model, vectors[user], unknown), atol=1e-5)
