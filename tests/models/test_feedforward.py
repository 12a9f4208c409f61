"""What a network computes, told without PyTorch, against PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.layers import UnitLength
from gpu_coldstart.errors import UserError
from gpu_coldstart.models import Mlp
from gpu_coldstart.models.feedforward import feedforward

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "the paper's": lambda: Mlp(9, (7, 6, 5), 4, normalize=True),
    "plain": lambda: Mlp(9, (7,), 4, normalize=False),
    "no hidden layer": lambda: Mlp(9, (), 4, normalize=True),
    "one layer": lambda: nn.Linear(9, 4, bias=False),
    "normalised everywhere": lambda: nn.Sequential(
        nn.BatchNorm1d(9),
        nn.Dropout(),
        nn.Linear(9, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.BatchNorm1d(6),
        nn.Identity(),
        nn.Linear(6, 5),
        nn.Linear(5, 4),
        nn.BatchNorm1d(4),
    ),
    "tanh": lambda: nn.Sequential(
        nn.Linear(9, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)
    ),
}


def trained(name: str, vectors: HostArray) -> nn.Module:
    """A network whose batch normalisation has seen something, of weights of both signs."""
    torch.manual_seed(0)
    model = NETWORKS[name]().train()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    for _ in range(3):
        model(torch.from_numpy(vectors))
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n", [1, 7, 40])
def test_it_computes_the_same(engine: Engine, name: str, n: int) -> None:
    vectors = np.random.default_rng(n).normal(2, 3, size=(40, 9)).astype(np.float32)
    model = trained(name, vectors)
    wanted = model.double()(torch.from_numpy(vectors[:n]).double()).detach().numpy()
    there = engine.to_torch(engine.asarray(vectors)).device
    network = feedforward(engine, model.float().to(there))
    assert (network.inputs, network.outputs) == (9, 4)
    found = engine.to_host(engine.feed_forward(network, engine.asarray(vectors[:n])))
    assert found.dtype == np.float32
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


class Coarse(nn.Linear):
    """Rounds what it multiplies in single precision, as TF32 does."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weights = self.weight
        if weights.dtype == torch.float32:
            weights = weights.bfloat16().float()
        return nn.functional.linear(input, weights, self.bias)


def test_it_does_not_take_part_in_coarse_products(engine: Engine) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Coarse(9, 6), nn.ReLU(), Coarse(6, 4))
    vectors = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    there = engine.to_torch(engine.asarray(vectors)).device
    network = feedforward(engine, model.to(there))
    found = engine.to_host(engine.feed_forward(network, engine.asarray(vectors)))
    wanted = model.cpu().double()(torch.from_numpy(vectors).double()).detach().numpy()
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


class Backwards(nn.Module):
    """Takes its layers in another order than they were made in."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(9, 9)
        self.first = nn.Linear(9, 9)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.relu(self.first(vectors)))
        return found


@pytest.mark.parametrize(
    "model",
    [
        Backwards(),
        nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(9, 4), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(9, 4)),
        nn.Sequential(nn.Linear(9, 4), UnitLength(), nn.Linear(4, 4)),
        nn.Identity(),
    ],
    ids=[
        "another order",
        "tanh and rectifier",
        "rectified",
        "rectifier first",
        "unit length within",
        "nothing",
    ],
)
def test_another_network_is_refused(engine: Engine, model: nn.Module) -> None:
    there = engine.to_torch(engine.xp.zeros(1, dtype=engine.xp.float32)).device
    with pytest.raises(UserError, match=f"network {type(model).__name__} cannot predict"):
        feedforward(engine, model.to(there))
