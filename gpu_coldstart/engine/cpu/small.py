"""Whether an input is so small that NumPy is done with it before a library is even imported.

Serving a few users needs neither machine code nor an index; importing Numba takes longer than their
whole answer. What has a compiled loop or a search of faiss, and such a NumPy twin, gives the same
bits either way. Where models are only served these libraries need not be installed, and NumPy does
everything.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec

__all__ = ["few", "small"]

_OPERATIONS = 1 << 20
_QUERIES = 256


def small(operations: int) -> bool:
    """Whether so many multiplications are few for a loop; the one place that decides.

    Once Numba is there, its loops are faster for any number.
    """
    return not _installed("numba") or (operations <= _OPERATIONS and "numba" not in sys.modules)


def few(queries: int) -> bool:
    """Whether so many queries are few for a search, which faiss then does without BLAS, slowly."""
    return queries <= _QUERIES or not _installed("faiss")


@cache
def _installed(name: str) -> bool:
    return find_spec(name) is not None
