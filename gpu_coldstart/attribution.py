"""Which signals of the registration day moved a prediction, and by how much.

A signal is left out: its block of the input vector becomes null, and its scalar what it is for a
user of whom nothing is known. How far the prediction moves then, in the space, is what the signal
contributed; the contributions of a user are divided by their sum. (Leave-one-out, or occlusion,
attribution: Zeiler & Fergus 2014.) Twenty signals cover the whole vector: age and country are
signals here, and the 18 actions of :data:`~gpu_coldstart.data.signals.SIGNALS` each have a block
and a count.
"""

from __future__ import annotations

from torch import nn

from gpu_coldstart.batches import by_batches
from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import predict_vectors

__all__ = ["signal_shares"]

_USERS = 64
"""Users at once, each of whom takes as many input vectors as there are signals, and one more."""


def signal_shares(
    engine: Engine,
    model: nn.Module,
    inputs: Inputs,
    users: Array,
    unknown: Array,
) -> Array:
    """Each signal's share in moving the predictions.

    Parameters
    ----------
    model : Module
        From input vectors to embeddings.
    inputs : Inputs
    users : Array [users] of integers
        Their numbers.
    unknown : Array [19] of float32
        The scalars of a user of whom nothing is known.

    Returns
    -------
    Array [users, 20] of float32
        In the order of :data:`~gpu_coldstart.data.signals.BLOCKS`. A row adds up to 1, or is null
        for a user whose prediction no signal moved.
    """
    xp = engine.xp
    dimension = (inputs.width - len(SCALARS)) // len(BLOCKS)

    def shares(some: slice) -> tuple[Array]:
        batch = inputs.batch(users[some])
        cases = xp.repeat(batch[None], len(BLOCKS) + 1, axis=0)
        for place, block in enumerate(BLOCKS):
            cases[place, :, place * dimension : (place + 1) * dimension] = 0
            scalar = "age_value" if block == "age" else f"nb_{block}"
            if scalar in SCALARS:
                column = len(BLOCKS) * dimension + SCALARS.index(scalar)
                cases[place, :, column] = unknown[SCALARS.index(scalar)]
        places = predict_vectors(engine, model, cases.reshape(-1, batch.shape[1]))
        places = places.reshape(len(BLOCKS) + 1, len(batch), -1)
        moved = xp.linalg.norm(places[:-1] - places[-1], axis=2).T
        total = moved.sum(axis=1, keepdims=True)
        return ((moved / (total + (total == 0))).astype(xp.float32),)

    return by_batches(xp, len(users), shares, size=_USERS)[0]
