"""The network's shape, and what it computes, layer by layer in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from gpu_coldstart.config.components import MlpConfig
from gpu_coldstart.engine.layers import UnitLength
from gpu_coldstart.models import Mlp


def test_architecture_of_the_paper() -> None:
    model = Mlp(2579, MlpConfig().hidden, 128, normalize=True)
    kinds = [type(layer) for layer in model.layers]
    assert kinds == [nn.Linear, nn.ReLU, nn.BatchNorm1d] * 3 + [nn.Linear, UnitLength]
    shapes = [
        (layer.in_features, layer.out_features)
        for layer in model.layers
        if isinstance(layer, nn.Linear)
    ]
    assert shapes == [(2579, 400), (400, 300), (300, 200), (200, 128)]
    norms = [layer.num_features for layer in model.layers if isinstance(layer, nn.BatchNorm1d)]
    assert norms == [400, 300, 200]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_forward(normalize: bool, training: bool) -> None:
    torch.manual_seed(0)
    model = Mlp(7, (5, 4), 3, normalize=normalize)
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    vectors = np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32)
    found = model.train(training)(torch.from_numpy(vectors)).detach().numpy()
    layer = vectors.astype(np.float64)
    for linear, norm in ((0, 2), (3, 5)):
        layer = layer @ state[f"layers.{linear}.weight"].T + state[f"layers.{linear}.bias"]
        layer = np.maximum(layer, 0)
        mean, variance = layer.mean(axis=0), layer.var(axis=0)
        if not training:
            mean = state[f"layers.{norm}.running_mean"]
            variance = state[f"layers.{norm}.running_var"]
        layer = (layer - mean) / np.sqrt(variance + 1e-5)
        layer = layer * state[f"layers.{norm}.weight"] + state[f"layers.{norm}.bias"]
    layer = layer @ state["layers.6.weight"].T + state["layers.6.bias"]
    if normalize:
        layer /= np.linalg.norm(layer, axis=1, keepdims=True)
    assert_allclose(found, layer, rtol=1e-3, atol=1e-5)


def test_no_hidden_layer_is_linear() -> None:
    model = Mlp(6, (), 2, normalize=False)
    assert [type(layer) for layer in model.layers] == [nn.Linear]
    assert model(torch.zeros(1, 6)).shape == (1, 2)
