"""Runs compared with the first of them: every strategy, measure by measure, with tests.

Where both runs recommended to the same users with the same relevant tracks, differences are
taken user by user, with the interval and the test of :mod:`gpu_coldstart.evaluation.comparisons`.
Otherwise users cannot be paired, and the two samples are compared as wholes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.comparisons import bootstrap_p, holm, mann_whitney_p, wilcoxon_p
from gpu_coldstart.evaluation.protocol import MEASURES, interval, resampled_means
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.runs import FinishedRun

__all__ = ["COLUMNS", "Pairing", "check", "common_ks", "compare", "names_of", "pairing"]

COLUMNS = (
    "space", "k", "measure", "strategy", "run", "users", "mean", "design", "common_users",
    "difference", "low", "high", "p_bootstrap", "p_rank", "p_holm",
)  # fmt: skip
"""Of a comparison; those after ``mean`` are None for the first run and for what it lacks."""

_RESAMPLES = 1000


@dataclass(frozen=True)
class Pairing:
    """Which users of two runs stand for each other.

    Attributes
    ----------
    first, other : HostArray [common users] of int64
        Places of the common users in either run; of all users where the runs are not paired.
    paired : bool
        Whether the relevant tracks are the same for every user that both runs have.
    """

    first: HostArray
    other: HostArray
    paired: bool


def names_of(runs: Sequence[FinishedRun]) -> list[str]:
    """Short names: the last parts of the paths, as many as keep them apart."""
    parts = [run.path.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{runs[0].path} is named twice: name different runs")


def common_ks(runs: Sequence[FinishedRun]) -> list[int]:
    """The lengths of list at which all runs were measured, ascending."""
    return sorted(set.intersection(*(run.ks for run in runs)))


def check(runs: Sequence[FinishedRun]) -> None:
    """Check that the runs can be compared.

    Raises
    ------
    UserError
        For fewer than two, one named twice, other data sets, or nothing measured in common.
    """
    if len(runs) < 2:
        raise UserError("one run has nothing to be compared with: name two or more directories")
    names_of(runs)
    first = runs[0]
    for run in runs[1:]:
        mine, its = run.config.get("dataset"), first.config.get("dataset")
        if mine != its:
            raise UserError(
                f"{run.path} is a run on {mine}, {first.path} one on {its}: compare runs on the "
                "same data set"
            )
        if not run.measures.keys() & first.measures.keys():
            raise UserError(
                f"{run.path} and {first.path} have no strategy in the same space in common: "
                "compare runs that share one"
            )
    if not common_ks(runs):
        lengths = ", ".join(f"{run.path} at k = {_listed(run.ks)}" for run in runs)
        raise UserError(
            f"the runs measured no length of list in common ({lengths}): give them the same --k"
        )


def _listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def pairing(first: FinishedRun, other: FinishedRun) -> Pairing:
    """Find out which users stand for each other."""
    if first.user_ids.dtype != other.user_ids.dtype:  # numbers in one run, strings in the other
        return _unpaired(first, other)
    _, mine, its = np.intersect1d(first.user_ids, other.user_ids, return_indices=True)
    paired = len(mine) > 0 and all(
        first.truth[a] == other.truth[b] for a, b in zip(mine, its, strict=True)
    )
    if paired:
        return Pairing(mine, its, paired=True)
    return _unpaired(first, other)


def _unpaired(first: FinishedRun, other: FinishedRun) -> Pairing:
    """All users of both."""
    mine, its = (np.arange(len(run.user_ids)) for run in (first, other))
    return Pairing(mine, its, paired=False)


def compare(runs: Sequence[FinishedRun], pairings: Sequence[Pairing]) -> Table:
    """Every measure of every run, and how it differs from the first run's.

    Parameters
    ----------
    runs : sequence of FinishedRun
        That passed :func:`check`.
    pairings : sequence of Pairing
        Of each run but the first with the first.

    Returns
    -------
    dict of column to list
        :data:`COLUMNS`; lengths of list, then strategies in their spaces, then measures, then runs.
        ``difference`` is the run's mean less the first run's over the users compared, ``low`` to
        ``high`` its 95 % bootstrap interval, ``p_rank`` Wilcoxon's p where ``design`` is "paired"
        and Mann-Whitney's where it is "unpaired", and ``p_holm`` that p adjusted for all
        strategies and measures of a run in a space at a length of list.
    """
    names = names_of(runs)
    ks = common_ks(runs)
    tested: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, run, pair in zip(names[1:], runs[1:], pairings, strict=True):
        for k in ks:
            for space in dict.fromkeys(space for space, _ in run.measures):
                tested |= {(name, *key): row for key, row in _family(runs[0], run, pair, space, k)}
    lines = []
    places = dict.fromkeys(place for run in runs for place in run.measures)
    for k in ks:
        for place in places:
            for measure in MEASURES:
                for name, run in zip(names, runs, strict=True):
                    if place not in run.measures:
                        continue
                    lines.append(
                        {
                            "space": place[0],
                            "k": k,
                            "measure": measure,
                            "strategy": place[1],
                            "run": name,
                            "users": len(run.user_ids),
                            "mean": float(run.measures[place][measure, k].mean()),
                            **tested.get((name, place, measure, k), {}),
                        }
                    )
    return {column: [line.get(column) for line in lines] for column in COLUMNS}


_Key = tuple[tuple[str, str], str, int]


def _family(
    first: FinishedRun, other: FinishedRun, pair: Pairing, space: str, k: int
) -> Iterator[tuple[_Key, dict[str, Any]]]:
    """The tests that are adjusted together."""
    places = [place for place in other.measures if place[0] == space and place in first.measures]
    keys = [(place, measure, k) for place in places for measure in MEASURES]
    if not keys:
        return
    mine, its = (
        np.array([run.measures[place][measure, k][users] for place, measure, _ in keys])
        for run, users in ((first, pair.first), (other, pair.other))
    )
    resampled = _resampled(mine, its, paired=pair.paired)
    rank = [
        wilcoxon_p(b - a) if pair.paired else mann_whitney_p(a, b)
        for a, b in zip(mine, its, strict=True)
    ]
    low, high = interval(resampled)
    p = bootstrap_p(resampled)
    for i, (key, adjusted) in enumerate(zip(keys, holm(rank), strict=True)):
        yield (
            key,
            {
                "design": "paired" if pair.paired else "unpaired",
                "common_users": len(pair.first) if pair.paired else None,
                "difference": float(its[i].mean() - mine[i].mean()),
                "low": float(low[i]),
                "high": float(high[i]),
                "p_bootstrap": float(p[i]),
                "p_rank": rank[i],
                "p_holm": float(adjusted),
            },
        )


def _resampled(first: HostArray, other: HostArray, *, paired: bool) -> HostArray:
    """Differences of means over resamples of the users [series, resamples]."""
    if paired:
        return resampled_means(other - first, _RESAMPLES, (0, 1))
    # Seeds of their own, since the users are two independent samples.
    of_other = resampled_means(other, _RESAMPLES, (1, 1))
    difference: HostArray = of_other - resampled_means(first, _RESAMPLES, (0, 1))
    return difference
