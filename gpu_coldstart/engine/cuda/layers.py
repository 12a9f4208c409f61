"""A network's layers in training, in fewer launches than PyTorch makes of them.

A step on 512 users is so little work that much of its time goes into launches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import cupy as cp
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from gpu_coldstart.engine.cuda.kernels import BLOCK, kernel
from gpu_coldstart.engine.layers import UnitLength, product_type

__all__ = ["fused"]

Layer: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_STRIP = 8
"""Columns that a block of ``rectify_norm.cu`` takes."""

_LEAST = 1e-12
"""Below this length :func:`torch.nn.functional.normalize` scales by a constant."""


def fused(parts: Sequence[nn.Module]) -> Layer:
    """What computes modules in training one after the other, to last bits as they would.

    A linear layer, a rectifier and a batch normalisation are one, and so is scaling to length 1.
    Batch normalisation does not count its batches, which nobody asks for.
    """
    layers: list[Layer] = []
    left = list(parts)
    while left:
        match left:
            case [nn.Linear() as linear, nn.ReLU(), nn.BatchNorm1d() as norm, *_] if _usual(
                linear, norm
            ):
                layers.append(partial(_hidden, linear, norm))
                del left[:3]
            case [UnitLength(), *_]:
                layers.append(lambda vectors: _applied(_UnitLength, vectors.float()))
                del left[0]
            case [other, *_]:
                layers.append(other)
                del left[0]
    return lambda vectors: reduce(lambda values, layer: layer(values), layers, vectors)


def _usual(linear: nn.Linear, norm: nn.BatchNorm1d) -> bool:
    """Whether our kernels do what the two are set up to do."""
    kept = norm.affine and norm.track_running_stats and norm.momentum is not None
    return kept and linear.bias is not None


def _hidden(linear: nn.Linear, norm: nn.BatchNorm1d, vectors: torch.Tensor) -> torch.Tensor:
    return _applied(_Hidden, vectors, norm, linear.weight, linear.bias, norm.weight, norm.bias)


def _applied(function: type[torch.autograd.Function], *given: Any) -> torch.Tensor:
    # torch leaves `apply` without annotations, which strict mypy may not call.
    found: torch.Tensor = function.apply(*given)  # type: ignore[no-untyped-call]
    return found


class _Hidden(torch.autograd.Function):
    """Product, offset, rectifier, batch normalisation; all but the product in float32."""

    @staticmethod
    def forward(
        ctx: Any, vectors: torch.Tensor, norm: nn.BatchNorm1d, *learned: torch.Tensor
    ) -> torch.Tensor:
        weights, offset, weight, bias = learned
        ctx.given, kind = vectors.dtype, product_type(vectors)
        vectors, weights = vectors.to(kind), weights.to(kind)
        before = (vectors @ weights.T).float()
        n, m = before.shape
        out = torch.empty_like(before)
        mean, inverse = torch.empty_like(offset), torch.empty_like(offset)
        _launch(
            "rectify_norm",
            "rectify_norm",
            -(-m // _STRIP),
            BLOCK,
            before=before,
            offset=offset,
            weight=weight,
            bias=bias,
            running_mean=norm.running_mean,
            running_variance=norm.running_var,
            mean=mean,
            inverse=inverse,
            out=out,
            n=n,
            m=m,
            momentum=norm.momentum,
            eps=norm.eps,
        )
        ctx.save_for_backward(vectors, weights, weight, before, mean, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vectors, weights, weight, before, mean, inverse = ctx.saved_tensors
        n, m = before.shape
        of_before = torch.empty_like(before)
        of_weight, of_bias, of_offset = (torch.empty_like(weight) for _ in range(3))
        _launch(
            "rectify_norm",
            "rectify_norm_back",
            -(-m // _STRIP),
            BLOCK,
            before=before,
            gradient=gradient.contiguous(),
            weight=weight,
            mean=mean,
            inverse=inverse,
            of_before=of_before,
            of_weight=of_weight,
            of_bias=of_bias,
            of_offset=of_offset,
            n=n,
            m=m,
        )
        of_before = of_before.to(weights.dtype)
        of_vectors = (of_before @ weights).to(ctx.given) if ctx.needs_input_grad[0] else None
        of_weights = (of_before.T @ vectors).float()
        return of_vectors, None, of_weights, of_offset, of_weight, of_bias


class _UnitLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor) -> torch.Tensor:
        n, d = vectors.shape
        units = torch.empty_like(vectors, memory_format=torch.contiguous_format)
        lengths = vectors.new_empty(n)
        _launch(
            "unit_length",
            "unit_length",
            n,
            32,
            vectors=vectors.contiguous(),
            out=units,
            lengths=lengths,
            n=n,
            d=d,
            least=_LEAST,
        )
        ctx.save_for_backward(units, lengths)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        units, lengths = ctx.saved_tensors
        n, d = units.shape
        of_vectors = torch.empty_like(units)
        _launch(
            "unit_length",
            "unit_length_back",
            n,
            32,
            scaled=units,
            lengths=lengths,
            gradient=gradient.contiguous(),
            of_vectors=of_vectors,
            n=n,
            d=d,
            least=_LEAST,
        )
        return of_vectors


def _launch(file: str, function: str, units: int, threads: int, **arguments: Any) -> None:
    """Launch on PyTorch's current stream, which CuPy's is not in a graph or on the way back."""
    # CuPy 14.2 would rather be given the stream itself, by `Stream.from_external`.
    with cp.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
        kernel(file, function)(
            units,
            threads,
            **{
                name: cp.from_dlpack(value.detach()) if isinstance(value, torch.Tensor) else value
                for name, value in arguments.items()
            },
        )
