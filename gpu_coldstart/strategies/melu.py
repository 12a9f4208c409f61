"""MeLU, fully and semi-personalised: a model that the paper compares with (4.1.3).

A network says how likely a user streams a track. Its last layers, the same for all users, take a
few steps of gradient descent on what the user did on registration day, and then score all tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gpu_coldstart.batches import batches, by_batches
from gpu_coldstart.config.competitors import MeluConfig
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.supports import Support, supports
from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.features import Inputs
from gpu_coldstart.spaces import Progress, unit_rows
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users, highest
from gpu_coldstart.strategies.placed import PlacedSemi
from gpu_coldstart.strategies.tuning import best_epoch

__all__ = ["MeluFull", "MeluSemi", "adapted"]

_VECTORS = 4096  # input vectors that are held at once
_TRACKS = 1024  # whose hidden layers are held at once, for each user at once
_RIDGE = 1e-6  # of the tracks' mean square, to place users by as few tracks as there may be

Layers = Sequence[tuple[Array, Array]]
"""Weights [users, inputs, outputs] and offset [users, 1, outputs] of each layer, of float64."""


def adapted(
    xp: Any, layers: Layers, given: Array, support: Support, *, steps: int, rate: float
) -> Layers:
    """Layers with rectifiers between them after steps of gradient descent on users' supports.

    All in double precision, and of one shape for every user, so that nobody's layers depend on the
    others.

    Parameters
    ----------
    given : Array [users, m, inputs] of float64
        What the layers get for the tracks of the support.
    support : Support [users, m]
        Of which the squared errors of the last layer's only output are made small.
    steps : int
    rate : float
    """
    labels, shares = (each[:, :, None] for each in (support.labels, support.shares))
    for _ in range(steps):
        reached = [given]
        for weights, offset in layers[:-1]:
            reached.append(xp.maximum(reached[-1] @ weights + offset, 0))
        weights, offset = layers[-1]
        slope = 2.0 * shares * (reached[-1] @ weights + offset - labels)
        moved = []
        for (weights, offset), before in zip(reversed(layers), reversed(reached), strict=True):
            moved.append(
                (
                    weights - rate * (before.swapaxes(1, 2) @ slope),
                    offset - rate * slope.sum(axis=1, keepdims=True),
                )
            )
            slope = (slope @ weights.swapaxes(1, 2)) * (before > 0)
        layers = moved[::-1]
    return layers


@dataclass(frozen=True)
class MeluState:
    """What is the same for all users.

    Attributes
    ----------
    network : Feedforward
        From an input vector to the user's embedding.
    tracks : Array [tracks, embedding] of float32
        Embeddings.
    decision : tuple of Dense
        The layers to start from: from both embeddings, the user's first, to a score.
    order : Array [tracks] of int32
        All tracks, shuffled: where those that are drawn into supports come from.
    curve : tuple of float
        NDCG of the validation users after each epoch.
    """

    network: Feedforward
    tracks: Array
    decision: tuple[Dense, ...]
    order: Array
    curve: tuple[float, ...] = ()


class MeluFull(Strategy):
    """The tracks that the user's adapted network scores highest."""

    name = "melu-full"
    label = "MeLU Full-Pers."
    uses_prediction = False
    State = MeluState

    Parameters = MeluConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._tracks = state.tracks.astype(context.engine.xp.float64)

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> MeluState:
        """Train the network and keep its best epoch."""
        from gpu_coldstart.models.melu import MeluTraining  # serving has no PyTorch

        engine, logs = context.engine, past.logs
        shuffled = np.random.default_rng(context.seed).permutation(context.n_tracks)
        order = engine.asarray(shuffled.astype(np.int32))
        training = MeluTraining(
            engine,
            past.inputs,
            supports(
                engine,
                logs.registrations,
                engine.xp.arange(logs.n_warm),
                order=order,
                size=parameters.support,
            ),
            past.space,
            plays=logs.plays,
            options=parameters,
            seed=context.seed,
        )

        def trained(epoch: int) -> tuple[MeluState, str]:
            loss = training.epoch(epoch)
            return MeluState(*training.learned(), order), f"loss {loss:.5f}"

        return best_epoch(partial(cls, context, parameters), trained, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        xp = self.context.engine.xp

        def top(scores: Array) -> tuple[Array, Array]:
            return highest(xp, scores, k)

        return Ranking(*self.scored(users.registrations, users.inputs, users.numbers, top))

    def scored(
        self,
        registrations: Registrations,
        inputs: Inputs,
        users: Array,
        made: Callable[[Array], tuple[Array, ...]],
    ) -> tuple[Array, ...]:
        """What is made of the scores of all tracks for users [n], by number, a few at a time.

        Parameters
        ----------
        made : callable
            From scores [m, tracks] of float64 to arrays of m rows.
        """
        engine, xp, state = self.context.engine, self.context.engine.xp, self.state
        size = self.parameters.support
        support = supports(engine, registrations, users, order=state.order, size=size)

        def embedded(part: slice) -> tuple[Array]:
            return (engine.feed_forward(state.network, inputs.batch(users[part])),)

        (mine,) = by_batches(xp, len(users), embedded, size=_VECTORS)

        def some(part: slice) -> tuple[Array, ...]:
            return made(self._scores(mine[part].astype(xp.float64), support.take(part)))

        return by_batches(xp, len(users), some, size=engine.users_at_once)

    def _scores(self, mine: Array, support: Support) -> Array:
        """Scores [n, tracks] of float64, from users' embeddings [n, embedding] of float64."""
        xp, parameters = self.context.engine.xp, self.parameters
        theirs = self._tracks[support.tracks]
        n, wide = mine.shape
        given = xp.concatenate([xp.broadcast_to(mine[:, None], theirs.shape), theirs], axis=2)
        layers = [
            (
                xp.broadcast_to(weights, (n, *weights.shape)),
                xp.broadcast_to(offset, (n, 1, len(offset))),
            )
            for weights, offset in (layer.doubled for layer in self.state.decision)
        ]
        steps, rate = parameters.local_steps, parameters.local_learning_rate
        (first, offset), *others = adapted(xp, layers, given, support, steps=steps, rate=rate)
        # What the first layer makes of the user is the same for all tracks.
        offset = mine[:, None] @ first[:, :wide] + offset
        scores = xp.empty((n, len(self._tracks)))
        for some in batches(len(self._tracks), _TRACKS):
            values = self._tracks[some] @ first[:, wide:] + offset
            for weights, after in others:
                values = xp.maximum(values, 0) @ weights + after
            scores[:, some] = values[:, :, 0]
        return scores


class MeluSemi(PlacedSemi):
    """The favourites of the segment whose centroid is nearest to where the scores place the user.

    MeLU has no space for users and tracks. That of the warm users has a place from which tracks
    look as the user's network sees them: v with ``v . t + c`` as near as possible, in least
    squares, to the scores of all tracks t. Warm users are placed by their first day alike.
    """

    name = "melu-semi"
    label = "MeLU Semi-Pers."
    full = MeluFull.name

    def __init__(
        self,
        context: Context,
        parameters: Any = None,
        state: Any = None,
        experts: Mapping[str, Strategy] | None = None,
    ):
        super().__init__(context, parameters, state, experts)
        self._to_place = _to_place(context)

    def warm(self, past: Past) -> Array:
        """See :meth:`PlacedSemi.warm`."""
        warm = self.context.engine.xp.arange(past.logs.n_warm)
        return self.placed(past.logs.registrations, past.inputs, warm)

    def located(self, users: Users) -> Array:
        """See :meth:`PlacedSemi.located`."""
        return self.placed(users.registrations, users.inputs, users.numbers)

    def placed(self, registrations: Registrations, inputs: Inputs, users: Array) -> Array:
        """Where their scores place users [n], by number: [n, d] of float32, of length 1."""
        xp = self.context.engine.xp

        def place(scores: Array) -> tuple[Array]:
            # A vector times a matrix for each, as if alone.
            return ((scores[:, None] @ self._to_place)[:, 0],)

        (places,) = self._placing.scored(registrations, inputs, users, place)
        return unit_rows(places).astype(xp.float32)


def _to_place(context: Context) -> Array:
    """From scores of all tracks to the place that explains them best [tracks, d] of float64."""
    xp = context.engine.xp
    tracks = context.tracks.astype(xp.float64)
    centred = tracks - tracks.mean(axis=0)  # so that a constant added to scores moves nobody
    gram = centred.T @ centred
    d = len(gram)
    ridge = _RIDGE * xp.maximum(xp.trace(gram) / d, 1e-12)
    return xp.linalg.solve(gram + ridge * xp.eye(d), centred.T).T
