"""How many users did how much on the registration day, and went on to stream how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.groups import interactions
from gpu_coldstart.evaluation.observed import Observed

__all__ = ["histogram", "sizes"]


def sizes(observed: Observed) -> Iterator[dict[str, Any]]:
    """Rows of the table ``sizes``: a histogram of each number and cohort.

    The numbers are ``events`` of the registration day, each counted once, and ``tracks`` of the
    ground truth.
    """
    for cohort in ("warm", "validation", "test"):
        counts = interactions(observed.signals[observed.cohorts[cohort]])
        yield from ({"what": "events", "cohort": cohort} | row for row in histogram(counts))
    truths = {"validation": observed.truth, "test": observed.followup.streams}
    for cohort, truth in truths.items():
        for row in histogram(np.diff(truth.indptr)):
            yield {"what": "tracks", "cohort": cohort} | row


def histogram(counts: HostArray) -> Iterator[dict[str, int]]:
    """Users [n of integers] by powers of two: 0, 1, 2, 3 to 4, 5 to 8, and so on to the largest.

    Examples
    --------
    >>> [tuple(row.values()) for row in histogram(np.array([0, 4, 5, 3]))]
    [(0, 0, 1), (1, 1, 0), (2, 2, 0), (3, 4, 2), (5, 8, 1)]
    """
    # 0 is in bin 0, and n > 0 in that of the bits of n - 1, plus one.
    places = np.where(counts > 0, np.frexp(np.maximum(counts, 1) - 1)[1] + 1, 0)
    for place, users in enumerate(np.bincount(places)):
        most = 2 ** (place - 1) if place else 0
        least = most // 2 + 1 if place > 1 else most
        yield {"least": least, "most": most, "users": int(users)}
