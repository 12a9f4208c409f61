"""How well tracks were told apart by artist."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, roc_curve

from gpu_coldstart.engine.types import HostArray

__all__ = ["adjusted_mutual_information", "adjusted_rand_index", "equal_error_rate"]


def adjusted_rand_index(artists: HostArray, parts: HostArray) -> float:
    """How far two partitions agree on pairs of tracks, less what chance does; 1 where they are one.

    Parameters
    ----------
    artists, parts : HostArray [tracks] of integers

    Examples
    --------
    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3]))
    1.0
    """
    return float(adjusted_rand_score(artists, parts))


def adjusted_mutual_information(artists: HostArray, parts: HostArray) -> float:
    """What a partition tells of another, less what chance does, of the mean of their entropies.

    Parameters
    ----------
    artists, parts : HostArray [tracks] of integers
    """
    return float(adjusted_mutual_info_score(artists, parts))


def equal_error_rate(distances: HostArray, same: HostArray) -> float:
    """Share of errors where as large a share of same as of other artists' pairs is mistaken.

    A pair counts as one artist's where it is no farther apart than a threshold. Between two
    thresholds the shares are taken to change in a straight line.

    Parameters
    ----------
    distances : HostArray [pairs]
    same : HostArray [pairs] of bool
        Both kinds are there.

    Examples
    --------
    >>> equal_error_rate(np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, True, False, False]))
    0.0
    """
    accepted, recognised, _ = roc_curve(same, -distances, drop_intermediate=False)
    excess = accepted - (1 - recognised)  # rises from -1 to 1
    after = int(np.argmax(excess >= 0))
    step = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(accepted[after - 1] + step * (accepted[after] - accepted[after - 1]))
