"""Per-user measures of ranked lists: the paper's three, and their textbook versions.

The paper's precision is not the textbook's: it divides the hits among the first K by
``min(K, |truth|)``, so that a user with few relevant tracks can still reach 1.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.ranking import stored

__all__ = ["MEASURES", "TEXTBOOK", "among", "hits_of", "user_measures"]

MEASURES = ("precision", "recall", "ndcg")
"""The paper's: precision of ``min(K, |truth|)``, recall of ``|truth|``, and binary NDCG."""

TEXTBOOK = ("textbook_precision", "map", "mrr", "hit_rate")
"""Hits over K, average precision, reciprocal rank of the first hit, and whether there is one."""


def user_measures(hits: HostArray, sizes: HostArray, k: int) -> dict[str, HostArray]:
    """Every measure of the first ``k`` places, per user.

    Average precision divides by ``min(K, |truth|)``, the most hits there can be. All values are
    within [0, 1] exactly: gain and ideal are summed in the same order.

    Parameters
    ----------
    hits : HostArray [users, m] of bool
        Whether the track at each place is in the truth; m >= k.
    sizes : HostArray [users] of integers
        Tracks in each user's truth, 1 or more.
    k : int

    Returns
    -------
    dict of measure to HostArray [users] of float64
        :data:`MEASURES`, then :data:`TEXTBOOK`.

    Examples
    --------
    >>> import numpy as np
    >>> measured = user_measures(np.array([[False, True, False]]), np.array([2]), 3)
    >>> {name: round(values.item(), 3) for name, values in measured.items()}
    {'precision': 0.5, 'recall': 0.5, 'ndcg': 0.387, 'textbook_precision': 0.333, 'map': 0.25, \
'mrr': 0.5, 'hit_rate': 1.0}
    """
    hits = hits[:, :k]
    places = np.arange(1, k + 1)
    discounts = 1.0 / np.log2(places + 1)
    reachable = np.minimum(k, sizes)
    running = np.cumsum(hits, axis=1)
    count = running[:, -1]
    first = np.where(count > 0, hits.argmax(axis=1) + 1, np.inf)
    return {
        "precision": count / reachable,
        "recall": count / sizes,
        "ndcg": np.cumsum(hits * discounts, axis=1)[:, -1] / np.cumsum(discounts)[reachable - 1],
        "textbook_precision": count / k,
        "map": (hits * running / places).sum(axis=1) / reachable,
        "mrr": 1.0 / first,
        "hit_rate": (count > 0).astype(np.float64),
    }


def hits_of(lists: HostArray, truth: sparse.csr_array) -> HostArray:
    """Whether each place of each list holds one of the user's tracks [users, K] of bool.

    Parameters
    ----------
    lists : HostArray [users, K] of integers
        Columns of ``truth``.
    truth : csr_array [users, tracks]
    """
    return stored(Csr(truth.indptr, truth.indices, truth.data, truth.shape), lists)


def among(keys: HostArray, wanted: HostArray) -> HostArray:
    """Whether each of some natural numbers is one of the wanted, which ascend.

    NumPy's ``isin`` hashes or sorts both.

    Examples
    --------
    >>> import numpy as np
    >>> among(np.array([[4, 7], [9, 1]]), np.array([1, 4, 8])).tolist()
    [[True, False], [False, True]]
    """
    found: HostArray = np.append(wanted, -1)[np.searchsorted(wanted, keys)] == keys
    return found
