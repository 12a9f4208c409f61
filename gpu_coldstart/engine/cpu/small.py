"""Whether an input is so small that NumPy is done with it before a library is even imported.

Serving a few users needs no machine code; importing Numba takes longer than their whole
answer. What has a compiled loop and such a NumPy twin gives the same bits either way. Where models
are only served Numba need not be installed, and NumPy does everything.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec

__all__ = ["small"]

_OPERATIONS = 1 << 18
"""NumPy takes about a millisecond for these."""


def small(operations: int) -> bool:
    """Whether so many multiplications are few for a loop; the one place that decides.

    Once Numba is there, its loops are faster for any number.
    """
    return not _installed("numba") or (operations <= _OPERATIONS and "numba" not in sys.modules)


@cache
def _installed(name: str) -> bool:
    return find_spec(name) is not None
