"""Whether an input is so small that NumPy is done with it before Numba is even imported.

Serving a few users needs no machine code; importing Numba takes longer than their whole answer.
What has a compiled loop and such a NumPy twin gives the same bits either way.
"""

from __future__ import annotations

__all__ = ["small"]

_OPERATIONS = 1 << 20


def small(operations: int) -> bool:
    """Whether so many multiplications are few; the one place that decides."""
    return operations <= _OPERATIONS
