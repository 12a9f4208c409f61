"""From per-user measures to the numbers of the results table (4.1.4).

The "±" is the paper's: the standard deviation (n - 1) of the means over ten disjoint parts of the
test users. Beside it stands a 95 % bootstrap interval of the mean over users. Parts and resamples
are the same for every strategy, so differences between strategies are paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpu_coldstart.engine.base import HostArray

__all__ = ["MEASURES", "Protocol", "Row", "Summary"]

MEASURES = ("precision", "recall", "ndcg")


@dataclass(frozen=True)
class Summary:
    """Mean over users, standard deviation over the parts, and the 95 % interval of the mean."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One line of the results: a strategy in a space at one length of list (fractions)."""

    space: str
    strategy: str
    k: int
    users: int
    precision: Summary
    recall: Summary
    ndcg: Summary

    def flat(self) -> dict[str, Any]:
        """As an object of ``results.json``."""
        row: dict[str, Any] = {
            "space": self.space,
            "strategy": self.strategy,
            "k": self.k,
            "users": self.users,
        }
        for measure in MEASURES:
            summary = asdict(getattr(self, measure))
            row[measure] = summary["mean"]
            row[f"{measure}_std"] = summary["std"]
            row[f"{measure}_ci95"] = [summary["low"], summary["high"]]
        return row


class Protocol:
    """Parts and resamples of ``users`` test users, fixed by the seed.

    Parameters
    ----------
    users : int
    folds : int
        Disjoint parts; no more than there are users.
    bootstrap : int
        Resamples.
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> Protocol(20, folds=10, bootstrap=50, seed=0).summarise(np.ones(20)).std
    0.0
    """

    def __init__(self, users: int, *, folds: int, bootstrap: int, seed: int):
        generator = np.random.default_rng(seed)
        self._parts = np.array_split(generator.permutation(users), min(folds, users))
        self._users = users
        self._bootstrap = bootstrap
        self._seed = seed

    def summarise(self, values: HostArray) -> Summary:
        """Summarise one measure of all users [users]."""
        values = np.asarray(values, np.float64)
        means = [float(values[part].mean()) for part in self._parts]
        resampled = np.array([values[users].mean() for users in self._resamples()])
        low, high = np.quantile(resampled, [0.025, 0.975])
        std = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
        return Summary(float(values.mean()), std, float(low), float(high))

    def _resamples(self) -> Iterator[HostArray]:
        """Users drawn with replacement, one draw a resample; the same at every call."""
        generator = np.random.default_rng((self._seed, 1))
        for _ in range(self._bootstrap):
            yield generator.integers(self._users, size=self._users)

    def row(self, space: str, strategy: str, k: int, measures: dict[str, HostArray]) -> Row:
        """Summarise a strategy at one length of list.

        Parameters
        ----------
        measures : dict of measure name to per-user values [users]
        """
        return Row(
            space,
            strategy,
            k,
            self._users,
            **{name: self.summarise(measures[name]) for name in MEASURES},
        )
