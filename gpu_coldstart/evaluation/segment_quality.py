"""Whom the recommendations serve well, by the segment that the prediction puts users in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.groups import SMALLER, Grouping
from gpu_coldstart.evaluation.protocol import Sample

__all__ = ["segment_quality"]

_SIGMAS = 1.96
"""Standard errors to either side that make a 95 % interval of a mean."""


def segment_quality(
    sample: Sample, nearest: Mapping[str, HostArray], described: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``segment-quality``: NDCG at the longest list.

    Segments of fewer than 20 test users are one, without a number, where there are larger ones.
    Intervals are by the normal approximation, None for a single user.

    Parameters
    ----------
    nearest : mapping of space to HostArray [users] of integers
        The segment of each test user.
    described : mapping of space to sequence of str
        What is known of each segment.
    """
    k = max(place.k for place in sample.places)
    groups = {}
    for space, known in described.items():
        grouping = Grouping("segment", tuple(map(str, range(len(known)))), nearest[space])
        groups[space] = [*grouping.folded().members()]
    for place, values in zip(sample.places, sample.values, strict=True):
        if (place.k, place.measure) != (k, "ndcg"):
            continue
        for order, label, members in groups[place.space]:
            mine, n = values[members], len(members)
            error = _SIGMAS * float(mine.std(ddof=1)) / math.sqrt(n) if n > 1 else None
            mean = float(np.mean(mine))
            small = label == SMALLER
            yield {
                "space": place.space,
                "strategy": place.strategy,
                "k": k,
                "segment": None if small else order,
                "description": label if small else described[place.space][order],
                "users": n,
                "mean": mean,
                "low": None if error is None else mean - error,
                "high": None if error is None else mean + error,
            }
