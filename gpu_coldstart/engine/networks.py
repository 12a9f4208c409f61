"""What a network that has learned makes of its input, on any array namespace."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.types import Array, Feedforward

__all__ = ["LEAST_LENGTH", "fed_forward"]

LEAST_LENGTH = 1e-12
"""As in PyTorch's ``normalize``: a shorter vector counts as one of this length."""


def fed_forward(xp: Any, network: Feedforward, vectors: Array, rows: int) -> Array:
    """See :meth:`gpu_coldstart.engine.base.Engine.feed_forward`.

    Libraries multiply fewer rows by other kernels, and nobody's prediction may depend on the
    others: so all are multiplied ``rows`` at a time, the last ones filled up with nulls.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_coldstart.engine.types import Dense
    >>> one = Dense(np.array([[3.0], [4.0]], np.float32), np.zeros(1, np.float32))
    >>> two = Dense(np.array([[1.0, -1.0]], np.float32), np.array([0.0, 1.0], np.float32))
    >>> fed_forward(np, Feedforward((one, two)), np.ones((1, 2), np.float32), 16).tolist()
    [[7.0, -6.0]]
    """

    def some(part: slice) -> tuple[Array]:
        given = vectors[part]
        values = xp.zeros((rows, vectors.shape[1]), dtype=xp.float64)
        values[: len(given)] = given
        return (_computed(xp, network, values)[: len(given)],)

    return by_batches(xp, len(vectors), some, size=rows)[0]


def _computed(xp: Any, network: Feedforward, values: Array) -> Array:
    for place, layer in enumerate(network.layers):
        if place:
            values = xp.tanh(values) if network.hidden == "tanh" else xp.maximum(values, 0)
        weights, offset = layer.doubled
        values = values @ weights + offset
    return _OUTPUTS[network.output](xp, values, network.groups).astype(xp.float32)


def _plain(xp: Any, values: Array, groups: tuple[int, ...]) -> Array:
    del xp, groups
    return values


def _unit(xp: Any, values: Array, groups: tuple[int, ...]) -> Array:
    """Vectors of length 1; null stays null."""
    del groups
    lengths = xp.sqrt((values * values).sum(axis=1, keepdims=True))
    return values / xp.maximum(lengths, LEAST_LENGTH)


def _softmax(xp: Any, values: Array, groups: tuple[int, ...]) -> Array:
    """A softmax over each group of columns, divided by how many there are."""
    made, start = xp.empty_like(values), 0
    for size in groups:
        group = values[:, start : start + size]
        shares = xp.exp(group - group.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True) * len(groups)
        made[:, start : start + size] = shares
        start += size
    return made


_OUTPUTS = {"plain": _plain, "unit": _unit, "softmax": _softmax}
