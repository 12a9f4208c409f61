"""From a PyTorch network that has learned to what it computes, which needs no PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from gpu_coldstart.engine.base import Engine, Feedforward
from gpu_coldstart.engine.layers import UnitLength
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.errors import UserError

__all__ = ["chain", "feedforward", "scaled"]

Affine = tuple[torch.Tensor, torch.Tensor]
"""Weights [inputs, outputs] and offset [outputs] of float64."""

_CASES, _TOLERANCE = 8, 1e-4


def feedforward(engine: Engine, model: nn.Module) -> Feedforward:
    """What a network computes when it predicts.

    It may be made of ``Linear``, ``ReLU`` or ``Tanh``, ``BatchNorm1d``, ``Dropout`` and
    ``Identity``, one after the other, with :class:`~gpu_coldstart.engine.layers.UnitLength` at the
    end or not, and of modules that hold such ones in the order in which they take part. That order
    is tried out.

    Raises
    ------
    UserError
        For any other network.
    """
    model.eval()
    layers: list[Affine] = []
    parts = list(chain(model))
    output = "unit" if isinstance(parts[-1], UnitLength) else "plain"
    affine: Affine | None = None  # all since the last nonlinear layer
    kinds: frozenset[str] = frozenset()
    with torch.inference_mode():
        for part in parts[: -1 if output == "unit" else None]:
            if (here := _affine(part)) is not None:
                affine = _composed(affine, here)
            elif isinstance(part, nn.ReLU | nn.Tanh) and affine is not None:
                layers.append(affine)
                affine, kinds = None, kinds | {type(part).__name__.lower()}
            elif not isinstance(part, nn.Dropout | nn.Identity):
                raise _other(model)
        if affine is None or len(kinds) > 1:
            raise _other(model)
        dense = (
            Dense(*(engine.from_torch(each.float().contiguous()) for each in layer))
            for layer in [*layers, affine]
        )
        made = Feedforward(tuple(dense), output, hidden=next(iter(kinds), "relu"))
        _try_out(engine, model, made)
    return made


def scaled(engine: Engine, network: Feedforward, scale: torch.Tensor) -> Feedforward:
    """The network of inputs that are multiplied by a scale [inputs] first."""
    first, *others = network.layers
    weights = first.weights * engine.from_torch(scale.contiguous())[:, None]
    return replace(network, layers=(Dense(weights, first.offset), *others))


def chain(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that hold no others, in the order in which they were made."""
    children = list(module.children())
    if not children:
        yield module
    for child in children:
        yield from chain(child)


def _affine(part: nn.Module) -> Affine | None:
    """What a layer computes if it is an affine map, as frozen batch normalisation is."""
    if isinstance(part, nn.Linear):
        weights = part.weight.T.double()
        return weights, weights.new_zeros(1) if part.bias is None else part.bias.double()
    if isinstance(part, nn.BatchNorm1d) and part.affine and part.running_mean is not None:
        assert part.running_var is not None  # both are kept, or none
        scale = part.weight.double() * (part.running_var.double() + part.eps).rsqrt()
        return torch.diag(scale), part.bias.double() - part.running_mean.double() * scale
    return None


def _composed(first: Affine | None, then: Affine) -> Affine:
    """One affine map after another."""
    weights, offset = then
    if first is None:
        return weights, offset.expand(weights.shape[1])
    return first[0] @ weights, first[1] @ weights + offset


def _try_out(engine: Engine, model: nn.Module, made: Feedforward) -> None:
    """Refuse a network that computes something else than the chain of its modules.

    In double precision, since PyTorch may have been told to multiply float32 in TF32.
    """
    generator = torch.Generator().manual_seed(0)
    cases = torch.randn(_CASES, made.inputs, generator=generator)
    there = cases.to(next(model.parameters()).device)
    wanted = copy.deepcopy(model).double()(there.double())
    found = engine.to_torch(engine.feed_forward(made, engine.from_torch(there))).double()
    if not torch.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise _other(model)


def _other(model: nn.Module) -> UserError:
    return UserError(
        f"the network {type(model).__name__} cannot predict: build it of Linear, ReLU or "
        "Tanh, BatchNorm1d, Dropout and Identity, in the order in which they take part, with "
        "UnitLength at the end where places are to have length 1"
    )
