"""Walking users by batches: the one place where the memory of a stage is bounded by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_coldstart.engine.types import Array

__all__ = ["BATCH", "batches", "by_batches"]

BATCH = 8192
"""Users handled at once unless a caller needs fewer."""


def batches(n: int, size: int = BATCH) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(n)``; one empty slice for n = 0.

    Examples
    --------
    >>> [(part.start, part.stop) for part in batches(5, 2)]
    [(0, 2), (2, 4), (4, 5)]
    >>> list(batches(0, 2))
    [slice(0, 0, None)]
    """
    for start in range(0, max(n, 1), size):
        yield slice(start, min(start + size, n))


def by_batches(
    xp: Any,
    n: int,
    make: Callable[[slice], tuple[Array, ...]],
    *,
    size: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> tuple[Array, ...]:
    """Arrays made batch by batch, joined along their first axis.

    Parameters
    ----------
    xp : module
        The engine's array namespace.
    make : callable
        From a slice of ``range(n)`` to the arrays of that batch.
    progress : callable
        Called with the number of rows done so far.

    Examples
    --------
    >>> import numpy as np
    >>> (squares,) = by_batches(np, 5, lambda some: (np.arange(5)[some] ** 2,), size=2)
    >>> squares.tolist()
    [0, 1, 4, 9, 16]
    """
    parts = []
    for some in batches(n, size):
        parts.append(make(some))
        if progress is not None:
            progress(some.stop)
    return parts[0] if len(parts) == 1 else tuple(map(xp.concatenate, zip(*parts, strict=True)))
