"""Where a network puts users (3.2.3)."""

from __future__ import annotations

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Engine, Feedforward
from gpu_coldstart.features import Inputs
from gpu_coldstart.profiling import primitive

__all__ = ["predict"]

_USERS = 512  # whose input vectors are held at once


@primitive("predict")
def predict(engine: Engine, inputs: Inputs, network: Feedforward, users: Array) -> Array:
    """Where the network puts users: embeddings [n, d] of float32.

    A user's embedding is the same to the bit, whichever users are predicted with them.

    Parameters
    ----------
    users : Array [n] of integers
    """
    return by_batches(
        engine.xp,
        len(users),
        lambda some: (engine.feed_forward(network, inputs.batch(users[some])),),
        size=_USERS,
    )[0]
