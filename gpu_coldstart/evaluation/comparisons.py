"""Which strategy is better than which, and how sure that is.

Two users' measures are comparable only within a user, so everything here works on differences
``a - b`` user by user. Intervals and the bootstrap's p come from resamples that all strategies
share (:class:`gpu_coldstart.evaluation.protocol.Sample`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu, wilcoxon

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.protocol import MEASURES, Place, Sample, interval

__all__ = ["bootstrap_p", "comparisons", "holm", "mann_whitney_p", "wilcoxon_p"]

_DECIMALS = 12
"""Differences equal but for rounding must be ties: 0.3 - 0.2 and 0.2 - 0.1 are not, as floats."""

_EXACT = 50
"""Users up to whose number Wilcoxon's distribution is counted out."""


def comparisons(sample: Sample) -> list[dict[str, Any]]:
    """Every pair of strategies of a space at each length of list, in every measure.

    Returns
    -------
    list of rows
        With ``difference``, mean a - b; ``low`` and ``high``, its 95 % bootstrap interval;
        ``p_bootstrap`` and ``p_wilcoxon``, two-sided; ``p_holm``, the Wilcoxon test's p adjusted
        for all pairs and measures of the space at that length. None for a lone strategy.
    """
    number = {place: i for i, place in enumerate(sample.places)}
    strategies: dict[tuple[str, int], list[str]] = {}
    for place in sample.places:
        names = strategies.setdefault((place.space, place.k), [])
        if place.strategy not in names:
            names.append(place.strategy)
    rows = []
    for (space, k), names in strategies.items():
        family = [
            row
            for measure in MEASURES
            for row in _compared(sample, [number[Place(space, a, k, measure)] for a in names])
        ]
        for row, adjusted in zip(family, holm([row["p_wilcoxon"] for row in family]), strict=True):
            rows.append(row | {"p_holm": float(adjusted)})
    return rows


def _compared(sample: Sample, series: list[int]) -> Iterator[dict[str, Any]]:
    """Every pair of some strategies in one measure, without the adjustment."""
    pairs = np.array(list(combinations(series, 2)), np.intp).reshape(-1, 2)
    resampled = sample.means[pairs[:, 0]] - sample.means[pairs[:, 1]]
    numbers = (*interval(resampled), bootstrap_p(resampled))
    for (a, b), low, high, p in zip(pairs, *numbers, strict=True):
        mine, differences = sample.places[a], sample.values[a] - sample.values[b]
        yield {
            "space": mine.space,
            "k": mine.k,
            "measure": mine.measure,
            "strategy_a": mine.strategy,
            "strategy_b": sample.places[b].strategy,
            "difference": float(differences.mean()),
            "low": float(low),
            "high": float(high),
            "p_bootstrap": float(p),
            "p_wilcoxon": wilcoxon_p(differences),
        }


def bootstrap_p(resampled: HostArray) -> HostArray:
    """Two-sided p of "the mean difference is 0" from resampled differences [..., resamples].

    Twice the share of resamples on the rarer side of 0, resamples at 0 counting for both sides,
    with one added above and below so that no p is 0 (Davison & Hinkley 1997, 4.2).

    Examples
    --------
    >>> import numpy as np
    >>> bootstrap_p(np.stack([np.ones(199), np.zeros(199)])).tolist()
    [0.01, 1.0]
    """
    resampled = np.round(resampled, _DECIMALS)
    rarer = np.minimum((resampled <= 0).sum(axis=-1), (resampled >= 0).sum(axis=-1))
    p: HostArray = np.minimum(1.0, 2 * (rarer + 1) / (resampled.shape[-1] + 1))
    return p


def wilcoxon_p(differences: HostArray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of differences [users].

    Users without a difference are ranked with the others and then dropped (Pratt 1959): there are
    many of them, and leaving them out beforehand would overstate the rest. For up to 50 users the
    distribution is exact, ties and all; beyond, it is SciPy's normal one with its terms for zeros
    (Cureton 1967) and ties.

    Examples
    --------
    >>> import numpy as np
    >>> wilcoxon_p(np.zeros(5)), wilcoxon_p(np.arange(1.0, 6.0))
    (1.0, 0.0625)
    """
    differences = np.round(differences, _DECIMALS)
    if not differences.any():
        return 1.0
    if len(differences) > _EXACT:
        return float(wilcoxon(differences, zero_method="pratt").pvalue)
    _, kind, ties = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(ties) - ties + 1)[kind]  # twice, so that the halves of ties are whole
    return _exact_p(ranks[differences != 0], int(ranks[differences > 0].sum()))


def _exact_p(ranks: HostArray, positive: int) -> float:
    """Two-sided p of a sum of ranks when each is positive with probability 1/2.

    Parameters
    ----------
    ranks : HostArray [n] of int64
    positive : int
        Sum of the ranks of positive differences.
    """
    # In how many ways each sum comes about, at most 2 ** 50: the digits of one long number.
    ways = 1
    for rank in ranks.tolist():
        ways += ways << 64 * rank
    counts = np.frombuffer(ways.to_bytes(8 * (int(ranks.sum()) + 1), "little"), "<u8")
    rarer = min(int(counts[: positive + 1].sum()), int(counts[positive:].sum()))
    return min(1.0, rarer / 2.0 ** (len(ranks) - 1))


def mann_whitney_p(a: HostArray, b: HostArray) -> float:
    """Two-sided p of the Mann-Whitney test of two independent samples, [n] and [m].

    Examples
    --------
    >>> import numpy as np
    >>> mann_whitney_p(np.zeros(3), np.zeros(4)), mann_whitney_p(np.arange(3.0), np.arange(3.0, 6))
    (1.0, 0.1)
    """
    a, b = np.round(a, _DECIMALS), np.round(b, _DECIMALS)
    if len(np.unique(np.concatenate((a, b)))) == 1:
        return 1.0  # all are tied, which SciPy cannot rank
    return float(mannwhitneyu(a, b).pvalue)


def holm(p: list[float]) -> HostArray:
    """Holm's step-down adjustment of the p of one family (Holm 1979); the order is kept.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, np.float64)
    order = np.argsort(raw, kind="stable")
    steps = raw[order] * np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(raw) else steps
    return adjusted
