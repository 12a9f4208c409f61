"""What a relation of users to tracks is made of, in training and at scoring time alike.

A relation moves a user towards each track in a way of its own: the user at u is near the track at v
if ``|u + r - v|^2`` is small, where r is the relation. It is written once, for the array functions
that NumPy, CuPy and PyTorch have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gpu_coldstart.engine.base import Array

__all__ = ["Pairs", "Relation", "apart", "attention", "mean_of", "recalled", "weights"]

_FAR = 1e4  # logarithms of weights that count differ by less


@dataclass(frozen=True)
class Pairs:
    """Places of n users, each paired with m tracks, the same for all users or each user's own.

    Attributes
    ----------
    users : Array [n, 1, d]
    tracks : Array [1 or n, m, d]
    history : Array [n, h, d]
        Tracks that the users streamed before.
    known : Array [n, 1 or m, h]
        1 for those that say something of the pair, 0 for a filling and for the pair's own track.
    audience : Array [1 or n, m, d] or None
        Mean place of the users who streamed each track, where the relation has a use for it.
    keys : Array [d, N] or None
    memory : Array [N, d] or None
        N slots, where the relation recalls anything.
    """

    users: Array
    tracks: Array
    history: Array
    known: Array
    audience: Array = None
    keys: Array = None
    memory: Array = None


class Relation:
    """No relation at all, as in CML: what all others are compared with."""

    memory: ClassVar[bool] = False
    """Whether it has keys and slots to recall."""

    audience: ClassVar[bool] = False
    """Whether it looks at who streamed a track."""

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """The relation r of each pair [n, m, d], or what broadcasts to it.

        Parameters
        ----------
        xp : module
            ``numpy``, ``cupy`` or ``torch``.
        pairs : Pairs
        """
        del xp
        return 0 * pairs.users

    @staticmethod
    def penalty(pairs: Pairs, between: Array) -> Array | None:
        """What is added to the loss of each pair [n, m], if anything is.

        Parameters
        ----------
        pairs : Pairs
        between : Array [n, m, d]
            What :meth:`between` is for them.
        """
        del pairs, between
        return None


def apart(pairs: Pairs, between: Array) -> Array:
    """Squared distance ``|u + r - v|^2`` of each pair [n, m]."""
    return ((pairs.users + between - pairs.tracks) ** 2).sum(-1)


def weights(xp: Any, logits: Array, known: Array | None = None) -> Array:
    """Softmax along the last axis, over what is known; all null where nothing is.

    Examples
    --------
    >>> import numpy as np
    >>> weights(np, np.zeros((2, 3)), np.array([[1, 0, 1], [0, 0, 0]])).tolist()
    [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    if known is None:
        known = 1
    else:
        logits = logits + _FAR * (known - 1)
    powers = xp.exp(logits - xp.amax(logits, -1, keepdims=True)) * known
    total = powers.sum(-1, keepdims=True)
    return powers / (total + (total == 0))


def attention(xp: Any, some: Array, others: Array, keys: Array) -> Array:
    """Which slots any two places recall, by the products of their dimensions.

    Parameters
    ----------
    some : Array [1 or n, m, d]
    others : Array [n, h, d]
    keys : Array [d, N]

    Returns
    -------
    Array [n, m, h, N]
        Adds up to 1 along the last axis.
    """
    n, h, d = others.shape
    slots = keys.shape[1]
    if some.shape[1] < slots:
        return weights(xp, (some[:, :, None] * others[:, None]) @ keys)
    # With many places, it is less work to multiply the keys by the others first.
    folded = (others[..., None] * keys).swapaxes(1, 2).reshape(n, d, h * slots)
    return weights(xp, (some @ folded).reshape(n, -1, h, slots))


def recalled(xp: Any, slots: Array, by: Array, known: Array) -> Array:
    """Slots recalled for several places each, averaged by what is wanted of them.

    With ``r_x = a_x M`` what is recalled for a place x, and q what it is wanted by, these are the
    slots ``sum_x w_x a_x`` of ``sum_x w_x r_x``, where w is the softmax of ``q.r_x``.

    Parameters
    ----------
    slots : Array [n, m, h, N]
        a, as :func:`attention` has it.
    by : Array [n, 1, N]
        ``q M'``, of each user.
    known : Array [n, 1 or m, h]

    Returns
    -------
    Array [n, m, N]
    """
    wanted = (slots @ by[..., None])[..., 0]
    return (weights(xp, wanted, known)[:, :, None] @ slots)[:, :, 0]


def mean_of(known: Array, history: Array) -> Array:
    """Mean place of what is known [n, m, d]; null where nothing is."""
    n = known.sum(-1, keepdims=True)
    return (known @ history) / (n + (n == 0))
