"""What more discovery costs in accuracy, and what it brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.exposure import exposure
from gpu_coldstart.evaluation.groups import everywhere
from gpu_coldstart.strategies.discovery import TradeOff

__all__ = ["discovery"]


def discovery(
    trade_off: TradeOff,
    popularity: HostArray,
    n_warm: int,
    country: tuple[HostArray, tuple[str, ...]],
) -> Iterator[dict[str, Any]]:
    """Accuracy of lists, and how popular their tracks are, at each setting of the dial.

    Parameters
    ----------
    trade_off : TradeOff
        With arrays on the host.
    popularity : HostArray [tracks] of integers
        Warm users who streamed each track, most popular first.
    country : (HostArray [validation users] of integers, names)
        Code of each user among the names, -1 where unknown.

    Yields
    ------
    dict
        The rows of :func:`~gpu_coldstart.evaluation.exposure.exposure`, with ``discovery``, and
        mean ``ndcg`` of the same users.
    """
    here = country[0][trade_off.users], country[1]
    members = dict(everywhere(*here))
    for dial, tracks, ndcg in zip(trade_off.dials, trade_off.tracks, trade_off.ndcg, strict=True):
        for row in exposure(tracks + 1, popularity, n_warm, here):
            mean = float(ndcg[members[row["country"]]].mean(dtype=np.float64))
            yield {"discovery": dial, "k": tracks.shape[1], "ndcg": mean} | row
