"""Why a list was made: the segments and the signals behind it.

What a signal contributed is measured by leaving it out: its block of the input vector becomes null,
and its scalar what it is for a user about whom nothing is known. How far the prediction then moves
in the space is the signal's contribution; the contributions of a user are divided by their sum.
(Leave-one-out, or occlusion, attribution: Zeiler & Fergus 2014.) Twenty signals cover the whole
vector: age and country count as signals here, and the 18 actions of
:data:`~gpu_coldstart.data.signals.SIGNALS` have a block and a count each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.batches import by_batches
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import BLOCKS, SCALARS, SIGNALS
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward, HostArray
from gpu_coldstart.features import FeatureBuilder, Inputs
from gpu_coldstart.segments import favourites
from gpu_coldstart.serving.model import Fitted
from gpu_coldstart.strategies import Strategy, Users
from gpu_coldstart.strategies.carousels import explanations

__all__ = ["REASONS", "reasons_of", "segments_of", "signal_shares"]

_SEGMENT_TRACKS = 50

REASONS = pa.struct(
    [
        (
            "segments",
            pa.list_(
                pa.struct(
                    [
                        ("segment", pa.int32()),
                        ("share", pa.float32()),
                        ("description", pa.string()),
                    ]
                )
            ),
        ),
        ("signals", pa.list_(pa.struct([("signal", pa.string()), ("share", pa.float32())]))),
        (
            "parts",
            pa.list_(
                pa.struct([("kind", pa.string()), ("name", pa.string()), ("share", pa.float64())])
            ),
        ),
    ]
)
"""Of each user: segments, signals and parts, each with shares of sum 1, the largest first."""


def reasons_of(
    strategy: Strategy,
    users: Users,
    tracks: Array,
    *,
    network: Feedforward,
    described: Mapping[str, Any],
) -> pa.Array:
    """Why each user gets the list that they get.

    A list not made from segments (the chart, or the nearest tracks) has none. A list not made from
    the prediction has no signals, nor has a user about whom nothing is known, so that none moved
    it, or whose input vector came ready made. A list whose scores are not sums has no parts, nor
    has one that holds all candidates. The share of a part is negative if it speaks for other tracks
    than those that are listed.

    Parameters
    ----------
    tracks : Array [users, k] of int32
        The lists.
    network : Feedforward
        From input vectors to places in the space.
    described : mapping
        :func:`gpu_coldstart.segments.describe` of the segments.

    Returns
    -------
    pyarrow.Array [users] of :data:`REASONS`
    """
    engine, builder = strategy.context.engine, users.inputs.builder
    signals: list[list[dict[str, Any]]] = [[] for _ in range(len(users))]
    if strategy.uses_prediction and builder is not None:
        unknown = _unknown_scalars(engine, builder)
        moved = signal_shares(engine, network, users.inputs, users.numbers, unknown)
        signals = [_ranked(row) for row in engine.to_host(moved)]
    made_of = strategy.segments_of(users)
    explained = explanations(described)
    segments: list[list[dict[str, Any]]] = [[] for _ in range(len(users))]
    if made_of is not None:
        labels, weights = (engine.to_host(part) for part in made_of)
        segments = [
            [
                {"segment": int(label), "share": float(weight), "description": explained[label]}
                for label, weight in zip(*row, strict=True)
            ]
            for row in zip(labels, weights, strict=True)
        ]
    parts = _parts(engine, strategy, users, tracks)
    names = [field.name for field in REASONS]
    rows = zip(segments, signals, parts, strict=True)
    return pa.array([dict(zip(names, row, strict=True)) for row in rows], REASONS)


def _parts(
    engine: Engine, strategy: Strategy, users: Users, tracks: Array
) -> list[list[dict[str, Any]]]:
    """The parts of each user's list, those that lift it most first."""
    found = strategy.parts_of(users, tracks)
    if found is None:
        return [[] for _ in range(len(users))]
    parts, shares = found
    return [
        [
            {**parts[place]._asdict(), "share": float(row[place])}
            for place in np.argsort(-row, kind="stable")
            if row[place]
        ]
        for row in engine.to_host(shares)
    ]


def _ranked(shares: HostArray) -> list[dict[str, Any]]:
    """The signals that moved a prediction, the strongest first."""
    order = np.argsort(-shares, kind="stable")
    return [
        {"signal": BLOCKS[place], "share": float(shares[place])}
        for place in order
        if shares[place] > 0
    ]


def _unknown_scalars(engine: Engine, builder: FeatureBuilder) -> Array:
    """The scalars of a user about whom nothing is known [19]."""
    xp = engine.xp
    nobody = Registrations(
        xp.full(1, xp.nan, dtype=xp.float32),
        xp.full(1, -1, dtype=xp.int32),
        Csr(
            xp.zeros(len(SIGNALS) + 1, dtype=xp.int64),
            xp.zeros(0, dtype=xp.int32),
            xp.zeros(0, dtype=xp.float32),
            (len(SIGNALS), int(builder.entities.shape[0])),
        ),
        xp.zeros((1, len(SIGNALS)), dtype=xp.float32),
    )
    return builder.scaler.apply(engine, nobody)[0]


def segments_of(fitted: Fitted) -> pa.Table:
    """Descriptions and popular tracks of the segments: see :attr:`ColdStart.segments`."""
    context, entities, described = fitted.context, fitted.model.entities, fitted.described
    k = min(_SEGMENT_TRACKS, context.n_tracks)
    popular = favourites(context.engine, entities.track_ids, fitted.model.shares, k)
    ids = popular["track_id"]
    tracks = {"track_id": entities.names.names("track", ids), **entities.titles.of_tracks(ids)}
    sizes = np.bincount(popular["segment"], minlength=len(described["segment"]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    table = pa.table(dict(described))
    table = table.append_column("description", pa.array(explanations(described)))
    for name, cells in {**tracks, "probability": pa.array(popular["probability"])}.items():
        table = table.append_column(name, pa.ListArray.from_arrays(offsets, cells))
    return table


_USERS = 64
"""Users at once, each of whom takes as many input vectors as there are signals, and one more."""


def signal_shares(
    engine: Engine,
    network: Feedforward,
    inputs: Inputs,
    users: Array,
    unknown: Array,
) -> Array:
    """Each signal's share in moving the predictions.

    Parameters
    ----------
    network : Feedforward
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
        places = engine.feed_forward(network, cases.reshape(-1, batch.shape[1]))
        places = places.reshape(len(BLOCKS) + 1, len(batch), -1)
        moved = xp.linalg.norm(places[:-1] - places[-1], axis=2).T
        total = moved.sum(axis=1, keepdims=True)
        return ((moved / (total + (total == 0))).astype(xp.float32),)

    return by_batches(xp, len(users), shares, size=_USERS)[0]
