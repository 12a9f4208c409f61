"""Products in half precision, and by how much they may err: twice as fast where the processor has
instructions for them.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import Arena

__all__ = ["Rough", "pays"]

_OPERATIONS = 1 << 28
"""Multiplications from which on the time of conversion is made up for, as measured."""

_ROWS = 1024
"""Vectors that are rounded at once."""

_ROUNDING = 2.0**-9
"""Relative error of a number in bfloat16, which has 8 digits."""


def pays(operations: int) -> bool:
    """Whether so many multiplications are better done in half precision first."""
    return operations >= _OPERATIONS and "torch" in sys.modules and _has_instructions()


@cache
def _has_instructions() -> bool:
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False


class Rough:
    """Inner products of queries [q, d] with items [m, d], both of float32, by PyTorch.

    Attributes
    ----------
    errors : array [q] of float64
        By how much a query's products may be off, but for the rounding of sums in float32.
    """

    def __init__(self, queries: HostArray, items: HostArray, longest: float):
        import torch

        self._torch: Any = torch
        (self._queries, lengths, lost), (self._items, _, of_items) = map(
            self._rounded, (queries, items)
        )
        farthest = float(of_items.max())
        # The product itself is rounded, too; a little more than itself may have become of it.
        found = 1.01 * _ROUNDING * lengths * longest
        self.errors: HostArray = lost * longest + (lengths + lost) * farthest + found

    def _rounded(self, vectors: HostArray) -> tuple[Any, HostArray, HostArray]:
        """Vectors in bfloat16, their lengths, and those of what rounding took from them."""
        length_of = self._torch.linalg.vector_norm
        rounded = self._torch.empty(vectors.shape, dtype=self._torch.bfloat16)
        lengths, lost = np.empty(len(vectors)), np.empty(len(vectors))
        for start in range(0, len(vectors), _ROWS):
            rows = slice(start, start + _ROWS)
            exact = self._torch.from_numpy(vectors[rows])
            rounded[rows] = exact
            lengths[rows] = length_of(exact, dim=1)
            lost[rows] = length_of(rounded[rows].float().sub_(exact), dim=1)
        return rounded, lengths, lost

    def __call__(self, rows: slice, some: slice, out: HostArray) -> None:
        """Fill ``out`` with the products of some queries and items."""
        queries, items = self._queries[rows], self._items[some]
        with Arena.taken() as arena:
            raw = self._torch.from_numpy(arena.array("rough", out.shape, np.int16))
            products = raw.view(self._torch.bfloat16)
            self._torch.mm(queries, items.T, out=products)
            self._torch.from_numpy(out).copy_(products)
