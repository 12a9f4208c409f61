"""Data sets times seeds: every strategy's quality, and which differences are sure.

A data set's runs differ in their seed alone. Where they measured the same users, a user's value is
the mean over the seeds; where the seed makes the users, as in the synthetic world, they are all
different users. Intervals and tests are over users; what the seed alone is good for is told apart,
as the standard deviation of the runs' means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
from scipy.stats import rankdata, studentized_range

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.comparisons import comparisons
from gpu_coldstart.evaluation.protocol import (
    MEASURES,
    Place,
    Sample,
    interval,
    resampled_means,
)
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.comparison import common_ks, pairing
from gpu_coldstart.reporting.rows import Line
from gpu_coldstart.reporting.runs import FinishedRun

__all__ = ["LEVEL", "Entry", "benchmark", "critical_difference", "pooled", "table_of"]

LEVEL = 0.05
"""Of the tests."""


@dataclass(frozen=True)
class Entry:
    """A data set, and its runs.

    Attributes
    ----------
    data : str
        Name of the data set.
    runs : sequence of FinishedRun
        One for each seed, otherwise of the same settings.
    """

    data: str
    runs: Sequence[FinishedRun]

    @property
    def same_users(self) -> bool:
        """Whether the users that two runs have in common are to be found the same tracks."""
        first, *others = self.runs
        return all(pairing(first, run).paired for run in others)


def benchmark(entries: Sequence[Entry]) -> tuple[list[Line], list[Line]]:
    """Every strategy on every data set, and every pair of strategies.

    Returns
    -------
    quality : list of rows
        ``data``, ``space``, ``strategy``, ``k``, ``measure``; ``seeds`` and ``users``; the ``mean``
        over users and its 95 % bootstrap interval, ``low`` to ``high``; ``deviation``, the standard
        deviation (n - 1) of the seeds' means, None for one seed; ``rank``, the mean over users of
        the strategy's rank among the space's, 1 the best and equals sharing theirs; ``critical``,
        the least difference of such ranks that is significant; ``p_best``, Wilcoxon's p of the
        difference from the strategy of the highest mean, adjusted for all of that data set's pairs
        of strategies and measures in the space, None for that strategy itself.
    pairs : list of rows
        As :func:`gpu_coldstart.evaluation.comparisons.comparisons` has them, and ``data``.
    """
    quality: list[Line] = []
    pairs: list[Line] = []
    for entry in entries:
        sample = pooled(entry)
        compared = [{"data": entry.data} | row for row in comparisons(sample)]
        pairs += compared
        quality += _quality(entry, sample, compared)
    return quality, pairs


def pooled(entry: Entry) -> Sample:
    """The users of all runs of a data set; values of the same user are averaged."""
    runs = entry.runs
    ids = np.concatenate([run.user_ids for run in runs])
    unit = np.unique(ids, return_inverse=True)[1] if entry.same_users else np.arange(len(ids))
    times = np.bincount(unit)
    places = tuple(
        Place(*place, k, measure)
        for place in runs[0].measures
        for k in common_ks(runs)
        for measure in MEASURES
    )
    values = np.empty((len(places), len(times)))
    for row, place in zip(values, places, strict=True):
        row[:] = np.bincount(unit, np.concatenate(_by_run(entry, place))) / times
    resamples = int(runs[0].config["evaluation.bootstrap"])
    return Sample(places, values, resampled_means(values, resamples, (0, 2)))


def _by_run(entry: Entry, place: Place) -> list[HostArray]:
    """A series of each run [its users]."""
    return [run.measures[place.space, place.strategy][place.measure, place.k] for run in entry.runs]


def _quality(entry: Entry, sample: Sample, pairs: Sequence[Line]) -> Iterator[Line]:
    """The rows of one data set."""
    means, users = sample.values.mean(axis=1), sample.values.shape[1]
    lows, highs = interval(sample.means)
    p = {
        (row["space"], row["k"], row["measure"], frozenset((row["strategy_a"], row["strategy_b"]))):
        row["p_holm"] for row in pairs
    }  # fmt: skip
    rivals: dict[tuple[Any, ...], list[int]] = {}
    for i, place in enumerate(sample.places):
        rivals.setdefault((place.space, place.k, place.measure), []).append(i)
    ranks, best = np.empty(len(means)), {}
    for race, members in rivals.items():
        ranks[members] = rankdata(-np.round(sample.values[members], 12), axis=0).mean(axis=1)
        best[race] = sample.places[max(members, key=lambda i: means[i])].strategy
    for i, place in enumerate(sample.places):
        race = (place.space, place.k, place.measure)
        by_seed = [values.mean() for values in _by_run(entry, place)]
        yield {
            "data": entry.data,
            **place._asdict(),
            "seeds": len(by_seed),
            "users": users,
            "mean": float(means[i]),
            "low": float(lows[i]),
            "high": float(highs[i]),
            "deviation": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
            "rank": float(ranks[i]),
            "critical": critical_difference(len(rivals[race]), users),
            "p_best": p.get((*race, frozenset((place.strategy, best[race])))),
        }


def critical_difference(strategies: int, users: int) -> float:
    """Least difference of two mean ranks that Nemenyi's test finds significant (Demšar 2006).

    Equal values make ranks vary less than it supposes, so that it errs on the side of caution.

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)  # Demšar's example
    1.25
    """
    q = studentized_range.ppf(1 - LEVEL, max(2, strategies), inf) / sqrt(2)
    return float(q * sqrt(strategies * (strategies + 1) / (6 * users)))


def table_of(lines: Sequence[Line]) -> Table:
    """Rows of the same columns as a table."""
    return {column: [line[column] for line in lines] for column in lines[0]} if lines else {}
