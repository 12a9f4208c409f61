"""A linear layer that skips the null blocks of the input vector (3.2.2).

A signal that a user did not give leaves a block of zeros, and more than half of all blocks are
such. The network's first layer holds most of its weights, so on the CPU most of the time of
training would go into multiplying them by zeros.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from gpu_coldstart.engine.layers import product_type

__all__ = ["NARROWEST", "BlockLinear"]

NARROWEST = 96
"""Below this, to find and gather the rows of a block takes longer than to multiply them all."""

_WHOLE_FROM = 0.8
"""A block that at least this share of a batch has is multiplied whole: choosing rows costs, too."""

_GRAIN = 16
"""A multiple of so many rows is multiplied in bfloat16, some with a null block.

oneDNN compiles a product for each size, which takes three times as long as to multiply.
"""


class BlockLinear(nn.Linear):
    """:class:`torch.nn.Linear` that multiplies each block of the input by the rows that have it.

    Parameters, their names and their initial values are those of ``nn.Linear``, and so is what it
    computes, but for last bits (and that null times an infinite weight is null here). It is the
    same from run to run with as many threads.

    Parameters
    ----------
    inputs, outputs : int
    block : int
        Width of a block. Blocks start at the first input; what is left over after the last full
        one is always multiplied.

    Examples
    --------
    >>> layer = BlockLinear(5, 3, block=2)
    >>> vectors = torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 0.0, 0.0, 6.0]])
    >>> torch.allclose(layer(vectors), nn.functional.linear(vectors, layer.weight, layer.bias))
    True
    """

    def __init__(self, inputs: int, outputs: int, *, block: int):
        super().__init__(inputs, outputs)
        self.block = block

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map vectors [n, inputs] to [n, outputs]."""
        # torch leaves this method without annotations, which strict mypy may not call.
        outputs: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, self.block
        )
        return outputs


class _Product(torch.autograd.Function):
    """``vectors @ weight.T + bias``, part by part."""

    @staticmethod
    def forward(
        ctx: Any, vectors: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, block: int
    ) -> torch.Tensor:
        kind = product_type(vectors)
        vectors, learned = vectors.to(kind), weight.to(kind)
        parts = _parts(vectors, block)
        outputs = bias.repeat(len(vectors), 1)
        for columns in parts.whole:
            outputs += vectors[:, columns] @ learned[:, columns].T
        # One block after the other, as what is made for one then stays in the cache.
        chosen = [
            (columns, rows, vectors[:, columns].index_select(0, rows))
            for columns, rows in parts.chosen
        ]
        for columns, rows, values in chosen:
            outputs.index_add_(0, rows, (values @ learned[:, columns].T).to(outputs.dtype))
        ctx.null, ctx.whole, ctx.chosen = parts.null, parts.whole, chosen
        ctx.save_for_backward(vectors, weight)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vectors, weight = ctx.saved_tensors
        rounded = gradient.to(vectors.dtype)
        of_weight = torch.empty_like(weight)
        for columns in ctx.null:
            of_weight[:, columns] = 0
        for columns in ctx.whole:
            of_weight[:, columns] = rounded.T @ vectors[:, columns]
        for columns, rows, values in ctx.chosen:
            of_weight[:, columns] = rounded.index_select(0, rows).T @ values
        of_vectors = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_vectors, of_weight, gradient.sum(dim=0), None


class _Parts(NamedTuple):
    """What of a batch is to be multiplied.

    Attributes
    ----------
    null, whole : list of slice
        Columns to multiply for no row, and for all of them.
    chosen : list of (slice, Tensor [m] of int64)
        Columns of each block to multiply for some rows, and these rows' places in the batch.
    """

    null: list[slice]
    whole: list[slice]
    chosen: list[tuple[slice, torch.Tensor]]


def _parts(vectors: torch.Tensor, block: int) -> _Parts:
    """Tell which blocks of vectors [n, inputs] are not null."""
    n, inputs = vectors.shape
    count = inputs // block
    there = _there(vectors[:, : count * block].view(n, count, block)).T
    counts = there.sum(dim=1)
    is_whole = counts >= _WHOLE_FROM * n
    rows = there.byte().argsort(dim=1, descending=True, stable=True)  # those that have it first
    grain = _GRAIN if vectors.dtype is torch.bfloat16 else 1
    starts = range(0, count * block, block)
    null: list[slice] = []
    whole: list[slice] = []
    chosen: list[tuple[slice, torch.Tensor]] = []
    for start, all_rows, some in zip(starts, is_whole.tolist(), counts.tolist(), strict=True):
        columns = slice(start, start + block)
        if all_rows:
            _append(whole, columns)
        elif some:
            chosen.append((columns, rows[start // block, : -(-some // grain) * grain]))
        else:
            _append(null, columns)
    if count * block < inputs:
        _append(whole, slice(count * block, inputs))
    return _Parts(null, whole, chosen)


def _there(blocks: torch.Tensor) -> torch.Tensor:
    """Which of the blocks [n, blocks, block] are not null."""
    if blocks.dtype is torch.bfloat16:
        # Of which PyTorch sums fast, and finds the largest slowly. Of NaN the sum is NaN.
        return blocks.abs().sum(dim=2) != 0
    # Of NaN the largest is NaN, which is not 0. Two passes that store nothing are faster than one
    # over absolute values, and nothing can underflow.
    return (blocks.amax(dim=2) != 0) | (blocks.amin(dim=2) != 0)


def _append(parts: list[slice], columns: slice) -> None:
    """Add columns, to the last part where they follow it."""
    if parts and parts[-1].stop == columns.start:
        columns = slice(parts.pop().start, columns.stop)
    parts.append(columns)
