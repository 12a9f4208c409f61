"""Layers of a network in training, fused, against PyTorch's own one after the other."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import pytest
import torch
from torch import nn

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.layers import UnitLength
from tests.rehearsal.install import rehearsed

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
NEAR: dict[str, Any] = {"rtol": 0.05, "atol": 0.02}
"""Where factors of products are of bfloat16."""


def network(width: int = 7, *, momentum: float | None = 0.2, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(width, 12, bias=bias),
        nn.ReLU(),
        nn.BatchNorm1d(12, momentum=momentum),
        nn.Dropout(0.0),
        nn.Linear(12, 9),
        nn.ReLU(),
        nn.BatchNorm1d(9),
        nn.Linear(9, 5),
        UnitLength(),
    )


def learned(
    compute: Any, parts: nn.Module, width: int, device: str, *, rounding: bool
) -> list[torch.Tensor]:
    """Outputs, gradients of inputs and weights, and what batch normalisation keeps."""
    torch.manual_seed(1)
    vectors = torch.randn(20, width).to(device).requires_grad_()
    with torch.autocast(device, torch.bfloat16, enabled=rounding):
        outputs = compute(vectors).float()
    torch.autograd.backward(nn.functional.mse_loss(outputs, torch.randn(20, 5).to(device)))
    gradients = [vectors.grad, *(weights.grad for weights in parts.parameters())]
    kept = [value for name, value in parts.named_buffers() if "batches" not in name]
    return [outputs.detach(), *[each for each in gradients if each is not None], *kept]


def compare(fused: Any, width: int, device: str, *, rounding: bool = False, **options: Any) -> None:
    parts = network(width, **options).to(device)
    plain = copy.deepcopy(parts)
    found = learned(fused(list(parts)), parts, width, device, rounding=rounding)
    wanted = learned(plain, plain, width, device, rounding=rounding)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, **(NEAR if rounding else CLOSE))


@pytest.mark.parametrize(
    "options",
    [{}, {"rounding": True}, {"momentum": None}, {"bias": False}],
    ids=["fused", "rounded", "a momentum our kernels do not know", "no offset"],
)
def test_fused_layers_learn_as_the_plain_ones(options: dict[str, Any]) -> None:
    with rehearsed():
        layers = importlib.import_module("gpu_coldstart.engine.cuda.layers")
        compare(layers.fused, 7, "cpu", **options)


@pytest.mark.gpu
@pytest.mark.parametrize("width", [7, 2579])
@pytest.mark.parametrize("rounding", [False, True])
def test_on_a_card(card: Engine, width: int, rounding: bool) -> None:
    compare(
        lambda parts: card.chained(nn.Sequential(*parts), parts), width, "cuda", rounding=rounding
    )
