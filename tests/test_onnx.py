"""Networks as ONNX, in ONNX Runtime, against PyTorch and the engine's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine.base import Feedforward, HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.engine.serving import ServingEngine
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.models import Mlp
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.models.gate import Gates
from gpu_coldstart.serving.onnx_form import onnx_form

WIDTH = 2579
PLAIN = CpuEngine()


def vectors(n: int) -> HostArray:
    """As sparse as input vectors are."""
    random = np.random.default_rng(n)
    found = random.normal(size=(n, WIDTH)) * (random.random((n, WIDTH)) < 0.4)
    return found.astype(np.float32)


def adopted(engine: ServingEngine, network: Feedforward) -> Feedforward:
    engine.adopt(network, onnx_form(engine, network))
    return network


@pytest.mark.parametrize("n", [1, 7, 512])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_predicts_as_pytorch_does(n: int, normalize: bool) -> None:
    torch.manual_seed(0)
    model = Mlp(WIDTH, (400, 300, 200), 128, normalize=normalize)
    model.train()(torch.from_numpy(vectors(64)))
    engine = ServingEngine()
    network = adopted(engine, feedforward(PLAIN, model))
    found = engine.feed_forward(network, vectors(n))
    wanted = model.eval()(torch.from_numpy(vectors(n))).detach().numpy()
    assert_allclose(found, wanted, atol=1e-5)
    assert_array_equal(found, PLAIN.feed_forward(network, vectors(n)))


def test_a_softmax_over_each_group() -> None:
    torch.manual_seed(0)
    model = Gates(WIDTH, 8, (3, 5, 1))
    weights = [model.first.weight.T, model.first.bias, model.last.weight.T, model.last.bias]
    first, first_offset, last, last_offset = (each.detach().numpy().copy() for each in weights)
    engine = ServingEngine()
    layers = Dense(first, first_offset), Dense(last, last_offset)
    network = adopted(engine, Feedforward(layers, "softmax", (3, 5, 1)))
    found = engine.feed_forward(network, vectors(7))
    assert_allclose(found, model(torch.from_numpy(vectors(7))).detach().numpy(), atol=1e-6)
    assert_array_equal(found, PLAIN.feed_forward(network, vectors(7)))


def test_another_model_is_refused() -> None:
    engine = ServingEngine()
    small, large = (
        Feedforward((Dense(np.ones((n, 2), np.float32), np.ones(2, np.float32)),)) for n in (3, 4)
    )
    with pytest.raises(ValueError, match="another network"):
        engine.adopt(small, onnx_form(engine, large))
    with pytest.raises(ValueError, match="no ONNX model"):
        engine.adopt(small, b"nothing of the kind")


def test_it_is_the_same_to_the_byte() -> None:
    network = Feedforward((Dense(np.ones((3, 2), np.float32), np.ones(2, np.float32)),))
    engine = ServingEngine()
    assert onnx_form(engine, network) == onnx_form(engine, network)
