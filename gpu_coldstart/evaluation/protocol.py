"""From per-user measures to the numbers of the results table (4.1.4).

The "±" is the paper's: the standard deviation (n - 1) of ten means over parts of the test users.
Next to it is a 95 % bootstrap interval of the mean over users. Parts and resamples are the
same for every strategy, so differences between strategies are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import one_blas_thread
from gpu_coldstart.evaluation.measures import MEASURES

__all__ = [
    "MEASURES",
    "Place",
    "Protocol",
    "Row",
    "Sample",
    "Summary",
    "best_of",
    "interval",
    "resampled_means",
]

_REPEATS = 2
_REPEATED_FOLDS = 5
_ENTRIES = 500_000
"""Users times resamples held at once, few enough for a processor's cache."""


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


def best_of(rows: Sequence[Row]) -> Row:
    """Who is ahead: the row of the highest NDCG at the longest list."""
    k = max(row.k for row in rows)
    return max((row for row in rows if row.k == k), key=lambda row: row.ndcg.mean)


class Place(NamedTuple):
    """What a series of per-user values measures."""

    space: str
    strategy: str
    k: int
    measure: str


@dataclass(frozen=True)
class Sample:
    """Every measure of every strategy, user by user and resample by resample.

    Attributes
    ----------
    places : tuple of Place
        What each series is; spaces, strategies, lengths and measures in the order of the run, the
        last changing fastest.
    values : HostArray [series, users] of float64
    means : HostArray [series, resamples] of float64
        Mean over each resample of the users; a resample is the same for all series.
    """

    places: tuple[Place, ...]
    values: HostArray
    means: HostArray


def interval(means: HostArray) -> tuple[HostArray, HostArray]:
    """The 95 % percentile interval of resampled means [..., resamples]: low and high [...].

    Examples
    --------
    >>> import numpy as np
    >>> low, high = interval(np.arange(1001.0))
    >>> float(low), float(high)
    (25.0, 975.0)
    """
    low, high = np.quantile(means, [0.025, 0.975], axis=-1)
    return low, high


def resampled_means(values: HostArray, bootstrap: int, seed: tuple[int, ...]) -> HostArray:
    """Means over resamples of the users.

    A resample is how often each user was drawn, and the means are a product of matrices: with many
    series much cheaper than gathering.

    Parameters
    ----------
    values : HostArray [series, users] of float64

    Returns
    -------
    HostArray [series, resamples] of float64
    """
    generator = np.random.default_rng(seed)
    n = values.shape[1]
    means = np.empty((len(values), bootstrap))
    counts = np.empty((max(1, min(bootstrap, _ENTRIES // n)), n))
    with one_blas_thread():
        for start in range(0, bootstrap, len(counts)):
            block = counts[: bootstrap - start]
            for row in block:
                row[:] = np.bincount(generator.integers(n, size=n), minlength=n)
            means[:, start : start + len(block)] = values @ block.T / n
    return means


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
    deviation : {"disjoint", "repeated"}
        ``disjoint`` cuts the users once into ``folds`` parts; ``repeated`` cuts them twice into
        five, as the released code does, and ignores ``folds``. Parts of different cuts share
        users, so the ten means of ``repeated`` are not independent.

    Examples
    --------
    >>> import numpy as np
    >>> protocol = Protocol(20, folds=10, bootstrap=50, seed=0)
    >>> sample = protocol.sample({("tt-svd", "semi"): np.ones((1, 3, 20))}, ks=[50])
    >>> [summary.std for summary in protocol.summaries(sample)]
    [0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        users: int,
        *,
        folds: int,
        bootstrap: int,
        seed: int,
        deviation: Literal["disjoint", "repeated"] = "disjoint",
    ):
        generator = np.random.default_rng(seed)
        repeats, count = (1, folds) if deviation == "disjoint" else (_REPEATS, _REPEATED_FOLDS)
        self._parts = [
            part
            for _ in range(repeats)
            for part in np.array_split(generator.permutation(users), min(count, users))
        ]
        self._users = users
        self._bootstrap = bootstrap
        self._seed = seed

    def resample(self, values: HostArray) -> HostArray:
        """:func:`resampled_means` of this protocol's users; the same at every call."""
        return resampled_means(values, self._bootstrap, (self._seed, 1))

    def sample(
        self,
        measures: Mapping[tuple[str, str], HostArray],
        ks: Sequence[int],
        names: Sequence[str] = MEASURES,
    ) -> Sample:
        """Resample everything that was measured.

        Parameters
        ----------
        measures : mapping of (space, strategy) to HostArray [K, measure, users]
        ks : sequence of int
            The K lengths of list.
        names : sequence of str
            The measures, in the order of the arrays.
        """
        places = tuple(
            Place(space, strategy, k, measure)
            for space, strategy in measures
            for k in ks
            for measure in names
        )
        stacked = np.concatenate([each.reshape(-1, self._users) for each in measures.values()])
        values = np.ascontiguousarray(stacked, np.float64)
        return Sample(places, values, self.resample(values))

    def summaries(self, sample: Sample) -> list[Summary]:
        """Summarise each series of a sample, in its order."""
        return [
            self._summary(values, means)
            for values, means in zip(sample.values, sample.means, strict=True)
        ]

    def rows(self, sample: Sample) -> list[Row]:
        """A row for each space, strategy and length of list of a sample of :data:`MEASURES`."""
        by_list: dict[tuple[str, str, int], dict[str, Summary]] = {}
        for place, summary in zip(sample.places, self.summaries(sample), strict=True):
            by_list.setdefault((place.space, place.strategy, place.k), {})[place.measure] = summary
        return [
            Row(space, strategy, k, self._users, **summaries)
            for (space, strategy, k), summaries in by_list.items()
        ]

    def _summary(self, values: HostArray, means: HostArray) -> Summary:
        """Summarise values [users] whose resampled means [resamples] are known."""
        of_parts = [float(values[part].mean()) for part in self._parts]
        std = float(np.std(of_parts, ddof=1)) if len(of_parts) > 1 else 0.0
        low, high = interval(means)
        return Summary(float(values.mean()), std, float(low), float(high))
