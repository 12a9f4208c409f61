"""Products in half precision, and by how much they may err: twice as fast where the processor has
instructions for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import Arena

__all__ = ["Rough", "has_instructions", "pays"]

_PRODUCTS_EACH = 512
"""Products of each vector that make up for the time it takes to be rounded, as measured."""

_ROWS = 1024
"""Vectors that are rounded at once."""

_ROUNDING = 2.0**-9
"""Relative error of a number in bfloat16, which has 8 digits."""


def pays(queries: int, items: int) -> bool:
    """Whether so many vectors are better multiplied in half precision first."""
    enough = queries * items >= _PRODUCTS_EACH * (queries + items)
    return enough and "torch" in sys.modules and has_instructions()


@cache
def has_instructions() -> bool:
    """Whether the processor multiplies bfloat16."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False


class Rough:
    """Inner products with items [m, d] of float32, by PyTorch.

    Parameters
    ----------
    items : array [m, d] of float32
    longest : float
        Length of the longest.
    """

    def __init__(self, items: HostArray, longest: float):
        self._items, _, lost = _rounded(items)
        self._farthest, self._longest = float(lost.max()), longest

    def times(self, queries: HostArray) -> tuple[Callable[[slice, slice, HostArray], None], Any]:
        """What multiplies queries [q, d] of float32, and by how much each one's products may err.

        The rounding of sums in float32 comes on top of these errors [q] of float64.
        """
        import torch

        rounded, lengths, lost = _rounded(queries)
        # The product itself is rounded, too; a little more than itself may have become of it.
        found = 1.01 * _ROUNDING * lengths * self._longest
        errors = lost * self._longest + (lengths + lost) * self._farthest + found

        def multiply(rows: slice, some: slice, out: HostArray) -> None:
            with Arena.taken() as arena:
                raw = torch.from_numpy(arena.array("rough", out.shape, np.int16))
                products = raw.view(torch.bfloat16)
                torch.mm(rounded[rows], self._items[some].T, out=products)
                torch.from_numpy(out).copy_(products)

        return multiply, errors


def _rounded(vectors: HostArray) -> tuple[Any, HostArray, HostArray]:
    """Vectors in bfloat16, their lengths, and those of what rounding took from them."""
    import torch

    # In double precision, as squares of small numbers would be lost in float32.
    length_of = partial(torch.linalg.vector_norm, dim=1, dtype=torch.float64)
    rounded = torch.empty(vectors.shape, dtype=torch.bfloat16)
    lengths, lost = np.empty(len(vectors)), np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        exact = torch.from_numpy(vectors[rows])
        rounded[rows] = exact
        lengths[rows] = length_of(exact)
        lost[rows] = length_of(rounded[rows].float().sub_(exact))
    return rounded, lengths, lost
