"""How close predictions come to the targets, by number of interactions (3.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from gpu_coldstart.batches import batches
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import over_rows
from gpu_coldstart.evaluation.groups import Grouping, group_means
from gpu_coldstart.spaces import unit_rows

__all__ = ["AGAINST", "calibration", "cosines", "heard"]

AGAINST = {
    "warm": "own embedding (in-sample)",
    "validation": "mean of the tracks of the following days",
}
"""What each cohort's predictions are compared with. The network was trained on the first."""

_ROWS = 4096
"""Rows converted to double precision at once."""

_COLUMNS = 16
"""Dimensions summed at once, so few that those of all tracks stay in a processor's cache."""


def heard(truth: sparse.csr_array, tracks: HostArray) -> HostArray:
    """Sum of the unit embeddings of each user's tracks, which points where their mean does.

    The same target as that of :class:`gpu_coldstart.models.Network`'s validation curve.

    Parameters
    ----------
    truth : csr_array [users, tracks] of ones
    tracks : HostArray [tracks, d] of float32

    Returns
    -------
    HostArray [users, d] of float64
    """
    lengths = np.empty((len(tracks), 1))
    for rows in batches(len(tracks), _ROWS):
        lengths[rows] = np.sqrt(np.square(tracks[rows], dtype=np.float64).sum(1, keepdims=True))
    lengths += lengths == 0
    sums = np.empty((truth.shape[0], tracks.shape[1]))

    def work(start: int, stop: int) -> None:
        sums[:, start:stop] = truth @ (tracks[:, start:stop] / lengths)

    over_rows(tracks.shape[1], _COLUMNS, work)
    return sums


def cosines(predicted: HostArray, wanted: HostArray) -> HostArray:
    """Cosine between rows [users, d]; 0 where one of them is null. Returns [users] of float64.

    Examples
    --------
    >>> import numpy as np
    >>> cosines(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 0.0], [0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    cosine = np.empty(len(predicted))
    for rows in batches(len(predicted), _ROWS):
        one, other = (unit_rows(each[rows].astype(np.float64)) for each in (predicted, wanted))
        np.einsum("ij,ij->i", one, other, out=cosine[rows])
    return cosine


def calibration(
    cohort: str,
    by_space: Mapping[str, HostArray],
    grouping: Grouping,
    *,
    bootstrap: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Mean cosine and its 95 % interval over each group of a cohort, in every space.

    Parameters
    ----------
    cohort : {"warm", "validation"}
    by_space : mapping of space to HostArray [users]
        Cosine of each user's prediction.
    """
    series = np.array([*by_space.values()])
    means = group_means(series, grouping, bootstrap=bootstrap, seed=seed)
    return [
        {
            "space": space,
            "cohort": cohort,
            "against": AGAINST[cohort],
            "group": group.label,
            "order": group.order,
            "users": group.users,
            "mean": float(group.mean[i]),
            "low": float(group.low[i]),
            "high": float(group.high[i]),
        }
        for i, space in enumerate(by_space)
        for group in means
    ]
