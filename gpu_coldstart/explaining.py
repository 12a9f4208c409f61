"""Why a list was made: the segments and signals behind it, as columns of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.attribution import signal_shares
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import BLOCKS, SIGNALS
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.features import FeatureBuilder
from gpu_coldstart.fitting import Fitted
from gpu_coldstart.strategies import Strategy, Users
from gpu_coldstart.strategies.carousels import explanations

__all__ = ["REASONS", "reasons", "segment_table"]

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
    ]
)
"""Of each user: segments and signals, each with shares that add up to 1, the largest first."""


def reasons(fitted: Fitted, strategy: Strategy, users: Users) -> pa.Array:
    """Why each user gets the list that they get.

    A list not made from segments (popularity, or the nearest tracks) has none; a user about whom
    nothing is known, so that no signal moved the prediction, has no signals.

    Returns
    -------
    pyarrow.Array [users] of :data:`REASONS`
    """
    engine = fitted.context.engine
    unknown = _unknown_scalars(engine, fitted.model.builder)
    signals = signal_shares(engine, fitted.network, users.inputs, users.numbers, unknown)
    made_of = strategy.segments_of(users)
    described = explanations(fitted.described)
    segments: list[list[dict[str, Any]]] = [[] for _ in range(len(users))]
    if made_of is not None:
        labels, weights = (engine.to_host(part) for part in made_of)
        segments = [
            [
                {"segment": int(label), "share": float(weight), "description": described[label]}
                for label, weight in zip(*row, strict=True)
            ]
            for row in zip(labels, weights, strict=True)
        ]
    moved = [_ranked(row) for row in engine.to_host(signals)]
    return pa.array(
        [{"segments": of, "signals": by} for of, by in zip(segments, moved, strict=True)],
        REASONS,
    )


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


def segment_table(
    described: Mapping[str, Any],
    popular: Mapping[str, HostArray],
    tracks: Mapping[str, pa.Array],
) -> pa.Table:
    """Descriptions and popular tracks of the segments, a row for each.

    Parameters
    ----------
    described : mapping
        Of :func:`gpu_coldstart.segments.describe`.
    popular : mapping
        Of :func:`gpu_coldstart.segments.favourites`.
    tracks : mapping of column to pyarrow.Array
        The same tracks in the user's own ids, and their names.
    """
    sizes = np.bincount(popular["segment"], minlength=len(described["segment"]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    table = pa.table(dict(described))
    table = table.append_column("description", pa.array(explanations(described)))
    for name, cells in {**tracks, "probability": pa.array(popular["probability"])}.items():
        table = table.append_column(name, pa.ListArray.from_arrays(offsets, cells))
    return table
