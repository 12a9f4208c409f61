"""DropoutNet, fully and semi-personalised: a model that the paper compares with (4.1.3).

Two towers lead from the warm space to one of their own, in which a cold user has a place by the
content alone. Fully personalised lists are the tracks of the largest products there. For the
semi-personalised ones the warm users are cut into segments by their places there.
"""

from __future__ import annotations

from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.competitors import DropoutNetConfig
from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.engine.base import Array
from gpu_coldstart.features import Inputs
from gpu_coldstart.strategies.base import Context, Past, Users
from gpu_coldstart.strategies.placed import PlacedSemi
from gpu_coldstart.strategies.towers import TowerStrategy, Trained

__all__ = ["DropoutNetFull", "DropoutNetSemi", "content_columns"]

_BATCH = 4096
_NEGATIVE = ("skipped", "banned")


def content_columns(xp: Any, dimension: int) -> Array:
    """Columns of the input vector that DropoutNet looks at: none of skips and bans (4.1.3).

    Examples
    --------
    >>> import numpy as np
    >>> len(content_columns(np, 128)), len(content_columns(np, 256))
    (1805, 3597)
    """
    widths = dict.fromkeys(BLOCKS, dimension) | dict.fromkeys(SCALARS, 1)
    parts, start = [], 0
    for name, width in widths.items():
        if not name.removeprefix("nb_").startswith(_NEGATIVE):
            parts.append(xp.arange(start, start + width))
        start += width
    return xp.concatenate(parts)


class DropoutNetFull(TowerStrategy):
    """The tracks of the largest inner products in the towers' space, which are the scores."""

    name = "dropoutnet-full"
    label = "DropoutNet Full-Pers."
    Parameters = DropoutNetConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._content = _columns(context)

    @classmethod
    def training(cls, context: Context, parameters: Any, past: Past) -> Trained:
        """See :meth:`TowerStrategy.training`."""
        from gpu_coldstart.models.dropoutnet import DropoutNetTraining

        return DropoutNetTraining(
            context.engine,
            past.inputs,
            _columns(context),
            past.space,
            options=parameters,
            seed=context.seed,
        )

    def located(self, users: Users) -> Array:
        """See :meth:`TowerStrategy.located`."""
        xp = self.context.engine.xp
        streamed = users.signal("streamed_songs")  # the mean of their places
        known = streamed if self.parameters.cold == "transform" else xp.zeros_like(streamed)
        return self._located(known, users.vectors())

    def warm(self, inputs: Inputs, places: Array) -> Array:
        """Places of warm users, the first of ``inputs``, in the towers' space [n, rank]."""
        xp = self.context.engine.xp

        def some(part: slice) -> tuple[Array]:
            vectors = inputs.batch(xp.arange(part.start, part.stop))
            return (self._located(places[part], vectors),)

        return by_batches(xp, len(places), some, size=_BATCH)[0]

    def _located(self, known: Array, vectors: Array) -> Array:
        engine = self.context.engine
        given = engine.xp.concatenate([known, vectors[:, self._content]], axis=1)
        return engine.feed_forward(self.state.network, given)


class DropoutNetSemi(PlacedSemi):
    """The favourites of the segment whose centroid is nearest in the towers' space."""

    name = "dropoutnet-semi"
    label = "DropoutNet Semi-Pers."
    full = DropoutNetFull.name

    def warm(self, past: Past) -> Array:
        """See :meth:`PlacedSemi.warm`."""
        places: Array = self._placing.warm(past.inputs, past.space.users)
        return places

    def located(self, users: Users) -> Array:
        """See :meth:`PlacedSemi.located`."""
        places: Array = self._placing.located(users)
        return places


def _columns(context: Context) -> Array:
    return content_columns(context.engine.xp, int(context.tracks.shape[1]))
