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

__all__ = ["NARROWEST", "BlockLinear"]

NARROWEST = 96
"""Below this, to find and gather the rows of a block takes longer than to multiply them all."""

_WHOLE_FROM = 0.8
"""A block that at least this share of a batch has is multiplied whole: choosing rows costs, too."""


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
        n, inputs = vectors.shape
        count = inputs // block
        blocks = vectors[:, : count * block].view(n, count, block)
        parts = _parts(blocks, inputs)
        outputs = bias.repeat(n, 1)
        for columns in parts.whole:
            outputs.addmm_(vectors[:, columns], weight[:, columns].T)
        values = blocks[parts.rows, parts.blocks]
        products = values.new_empty(len(values), len(weight))
        for columns, entries in parts.chosen:
            torch.mm(values[entries], weight[:, columns].T, out=products[entries])
        outputs.index_add_(0, parts.rows, products)
        ctx.parts = parts
        ctx.save_for_backward(vectors, weight, values)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vectors, weight, values = ctx.saved_tensors
        of_weight = torch.zeros_like(weight)
        for columns in ctx.parts.whole:
            torch.mm(gradient.T, vectors[:, columns], out=of_weight[:, columns])
        met = gradient.index_select(0, ctx.parts.rows)
        for columns, entries in ctx.parts.chosen:
            torch.mm(met[entries].T, values[entries], out=of_weight[:, columns])
        of_vectors = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_vectors, of_weight, gradient.sum(dim=0), None


class _Parts(NamedTuple):
    """What of a batch is to be multiplied.

    Attributes
    ----------
    whole : list of slice
        Columns to multiply for all rows.
    chosen : list of (slice, slice)
        Columns of each block to multiply for some rows, and its entries in the next two.
    rows, blocks : Tensor [m] of int64
        These rows' places in the batch, and the number of the block, block by block.
    """

    whole: list[slice]
    chosen: list[tuple[slice, slice]]
    rows: torch.Tensor
    blocks: torch.Tensor


def _parts(blocks: torch.Tensor, inputs: int) -> _Parts:
    """Tell which of the ``blocks`` [n, blocks, block] of vectors [n, inputs] are not null."""
    n, _, block = blocks.shape
    # Of NaN the largest is NaN, which is not 0. Two passes that store nothing are faster than one
    # over absolute values, and nothing can underflow.
    there = ((blocks.amax(dim=2) != 0) | (blocks.amin(dim=2) != 0)).T
    counts = there.sum(dim=1)
    is_whole = counts >= _WHOLE_FROM * n
    places = (there & ~is_whole[:, None]).nonzero()
    whole: list[slice] = []
    chosen: list[tuple[slice, slice]] = []
    start = done = 0
    for count, all_rows in zip(counts.tolist(), is_whole.tolist(), strict=True):
        columns = slice(start, start := start + block)
        if all_rows:
            _append(whole, columns)
        elif count:
            chosen.append((columns, slice(done, done := done + count)))
    if start < inputs:
        _append(whole, slice(start, inputs))
    return _Parts(whole, chosen, places[:, 1], places[:, 0])


def _append(parts: list[slice], columns: slice) -> None:
    """Add columns, to the last part where they follow it."""
    if parts and parts[-1].stop == columns.start:
        columns = slice(parts.pop().start, columns.stop)
    parts.append(columns)
