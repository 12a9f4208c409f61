"""The paper's online test (4.2.2, Figure 7) replayed on what test users did in the next 30 days.

Every test user is dealt an arm by a hash of their id and is shown that arm's carousel only. A
playlist on display is a success if the user went on to stream it, or made it a favourite. Rates are
given relative to those of the first arm, as in the paper. This is the design ``cohorts``. Logs know
what every user did whatever they were shown, so the same is also given for all users under all
arms, the design ``paired``, which answers the same question with far less noise.

A replay is not an online test. It assumes that

* each user saw all playlists of the carousel, once; the app renews carousels daily;
* what a user streamed anyway would have been streamed from the display too. A display is credited
  with what it did not cause: rates are shares of playlists that suit, not effects of showing them;
* nothing is streamed because it is shown. What only a display would have led to is lost, which
  favours arms near what users find by themselves;
* a few tracks of a playlist stand for the playlist (``carousels.streamed_tracks``,
  ``carousels.favorite_tracks``), which favours arms that show long playlists of much-played tracks;
* users do not influence one another, and the first days are like the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import chisquare, ttest_ind_from_stats

from gpu_coldstart.batches import batches
from gpu_coldstart.config.parameters import CarouselsConfig
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.comparisons import holm, wilcoxon_p
from gpu_coldstart.evaluation.protocol import interval, resampled_means

__all__ = ["MEASURES", "Followup", "cohorts", "replay", "successes", "welch_p"]

MEASURES = ("display-to-stream", "display-to-favorite")

_AT_ONCE = 256
"""Users whose tracks are matched with their carousels at a time, few enough for a cache."""

_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Of splitmix64: a shift and a factor each; a last shift of 31 follows."""


@dataclass(frozen=True)
class Followup:
    """What the test users did in the days after registration, as matrices of ones.

    Attributes
    ----------
    streams, favorites : csr_array [users, tracks]
        Tracks streamed, and made favourites.
    playlist_streams, playlist_favorites : csr_array [users, playlists]
        Playlists streamed as such, and made favourites.
    """

    streams: sparse.csr_array
    playlist_streams: sparse.csr_array
    favorites: sparse.csr_array
    playlist_favorites: sparse.csr_array


def cohorts(user_ids: HostArray, arms: int, seed: int) -> HostArray:
    """The arm of each user [users] of int64, by a salted hash of the id alone.

    The hash is splitmix64 (Steele, Lea & Flood 2014) of the id plus a salt, which is splitmix64 of
    the seed; the arm is the hash modulo the number of arms. A string counts as the number in the
    first 8 bytes, big-endian, of the SHA-256 of its UTF-8. So it is the same on every machine and
    in every order of users, and arms are of equal size in expectation.

    Parameters
    ----------
    user_ids : HostArray [users] of int64, or of str objects
        As the data set has them.

    Examples
    --------
    >>> import numpy as np
    >>> cohorts(np.array([1, 2, 3, -4]), 3, seed=0).tolist()
    [1, 1, 1, 2]
    """
    salt = _splitmix64(np.array([seed], np.uint64))
    if user_ids.dtype == object:
        numbers = np.array([_number(name) for name in user_ids], np.uint64)
    else:
        numbers = user_ids.astype(np.int64).view(np.uint64)
    hashed = _splitmix64(numbers + salt)
    return (hashed % np.uint64(arms)).astype(np.int64)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _splitmix64(state: HostArray) -> HostArray:
    """The number that splitmix64 gives from each state [n] of uint64; sums and products wrap."""
    mixed = state + np.uint64(_GOLDEN)
    for shift, factor in _ROUNDS:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def successes(
    shown: HostArray,
    playlists: sparse.csr_array,
    tracks: sparse.csr_array,
    themselves: sparse.csr_array,
    least: int,
) -> HostArray:
    """How many displays of each user had success [users, ...] of int64.

    Parameters
    ----------
    shown : HostArray [users, ..., L] of integers
        Playlists on display, maybe under each of several arms.
    playlists : csr_array [playlists, tracks] of ones
    tracks : csr_array [users, tracks] of ones
        What each user streamed or liked.
    themselves : csr_array [users, playlists] of ones
        The playlists that they streamed or liked as such.
    least : int
        Distinct tracks of a playlist that stand for it, 1 or more.
    """
    counts, each = np.empty(shown.shape[:-1], np.int64), int(np.prod(shown.shape[1:]))
    done, by_name = (np.zeros((_AT_ONCE, of.shape[1]), bool) for of in (tracks, themselves))
    for some in batches(len(shown), _AT_ONCE):
        lists = shown[some].ravel()
        users = np.repeat(np.arange(some.stop - some.start), each)
        offered = playlists[lists]
        places = np.repeat(users * done.shape[1], np.diff(offered.indptr)) + offered.indices
        with _marked(done, tracks[some]), _marked(by_name, themselves[some]):
            hits = np.append(0, done.ravel().take(places).cumsum())
            common = np.diff(hits[offered.indptr])
            success = (common >= least) | by_name[users, lists]
        counts[some] = success.reshape(shown[some].shape).sum(axis=-1)
    return counts


@contextmanager
def _marked(marks: HostArray, matrix: sparse.csr_array) -> Iterator[None]:
    """Set the ``marks`` of a matrix's entries; afterwards there are none, as before."""
    entries = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices
    marks[entries] = True
    yield
    marks[entries] = False


def replay(
    shown: Mapping[str, HostArray],
    user_ids: HostArray,
    playlists: sparse.csr_array,
    followup: Followup,
    options: CarouselsConfig,
    *,
    bootstrap: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each design, measure and arm of one space.

    Parameters
    ----------
    shown : mapping of arm to HostArray [users, L] of integers
        The playlists of each user's carousel; the first arm is what the others are held against.
    user_ids : HostArray [users] of int64, or of str objects
        As the data set has them.
    playlists : csr_array [playlists, tracks] of ones
    followup : Followup
    options : CarouselsConfig
        What counts as a success.
    bootstrap : int
        Resamples of the users.
    seed : int
        Of cohorts and resamples.

    Returns
    -------
    list of rows
        ``users``, ``displays`` and ``successes`` of the arm; ``rate``, successes by displays, with
        its 95 % bootstrap interval ``low`` to ``high`` over users; ``relative``, the rate over the
        first arm's less 1, with ``relative_low`` and ``relative_high``; ``p_value``, two-sided, of
        "the arm is no different from the first": Welch's test of the users' own rates in
        ``cohorts``, Wilcoxon's signed-rank test in ``paired``; ``p_holm``, adjusted for all tests
        of the space; ``p_sample_ratio``, of "cohorts are of equal size" (chi-square), where a tiny
        p betrays a faulty assignment. None where it does not apply or nothing can be said: for the
        first arm itself, an arm without users, a first arm (or a resample of it) without success,
        a test where neither arm has any.
    """
    each = next(iter(shown.values())).shape[1]
    rates = _successes(shown, playlists, followup, options) / each
    arm = cohorts(user_ids, len(shown), seed)
    ratio = float(chisquare(np.bincount(arm, minlength=len(shown))).pvalue)
    designs = {
        "cohorts": [
            _Group.of(rates[:, i, arm == i], bootstrap, (seed, 3, i)) for i in range(len(shown))
        ],
        "paired": _paired(rates, bootstrap, (seed, 4)),
    }
    rows = [
        {
            "design": design,
            "measure": measure,
            "arm": name,
            **_estimates(groups[i], groups[0], m, each),
            "p_value": _p(design, groups[i].rates[m], groups[0].rates[m]) if i else None,
            "p_sample_ratio": ratio if design == "cohorts" else None,
        }
        for design, groups in designs.items()
        for m, measure in enumerate(MEASURES)
        for i, name in enumerate(shown)
    ]
    adjusted = iter(holm([row["p_value"] for row in rows if row["p_value"] is not None]).tolist())
    return [row | {"p_holm": None if row["p_value"] is None else next(adjusted)} for row in rows]


def _successes(
    shown: Mapping[str, HostArray],
    playlists: sparse.csr_array,
    followup: Followup,
    options: CarouselsConfig,
) -> HostArray:
    """Successes of every user under every arm, in both measures [2, arms, users]."""
    asked = (
        (followup.streams, followup.playlist_streams, options.streamed_tracks),
        (followup.favorites, followup.playlist_favorites, options.favorite_tracks),
    )
    lists = np.stack([*shown.values()], axis=1)
    return np.array([successes(lists, playlists, *which).T for which in asked])


class _Group(NamedTuple):
    """The users who were shown an arm."""

    rates: HostArray  # [2, users], their own rates in both measures
    resampled: HostArray | None  # [2, resamples], means of those; None without users

    @classmethod
    def of(cls, rates: HostArray, bootstrap: int, seed: tuple[int, ...]) -> _Group:
        """A cohort, resampled by itself."""
        rates = np.ascontiguousarray(rates)
        return cls(rates, resampled_means(rates, bootstrap, seed) if rates.shape[1] else None)


def _paired(rates: HostArray, bootstrap: int, seed: tuple[int, ...]) -> list[_Group]:
    """All users under each arm, from rates [2, arms, users]; one resample serves all arms."""
    means = resampled_means(rates.reshape(-1, rates.shape[-1]), bootstrap, seed)
    means = means.reshape(*rates.shape[:2], -1)
    return [_Group(rates[:, i], means[:, i]) for i in range(rates.shape[1])]


def _estimates(group: _Group, first: _Group, measure: int, each: int) -> dict[str, Any]:
    """One arm's numbers in one measure, all but the tests; ``each`` is the carousels' length."""
    estimates: dict[str, Any] = dict.fromkeys(
        ("rate", "low", "high", "relative", "relative_low", "relative_high")
    )
    mine = group.rates[measure]
    estimates |= {
        "users": len(mine),
        "displays": len(mine) * each,
        "successes": int(np.rint(mine.sum() * each)),
    }
    if group.resampled is None:
        return estimates
    resampled = group.resampled[measure]
    low, high = interval(resampled)
    estimates |= {"rate": float(mine.mean()), "low": float(low), "high": float(high)}
    if group is first or first.resampled is None or not first.rates[measure].any():
        return estimates
    estimates["relative"] = float(mine.mean() / first.rates[measure].mean() - 1)
    if first.resampled[measure].all():
        low, high = interval(resampled / first.resampled[measure] - 1)
        estimates |= {"relative_low": float(low), "relative_high": float(high)}
    return estimates


def _p(design: str, mine: HostArray, first: HostArray) -> float | None:
    """The test that goes with a design, of the rates of the users of two arms."""
    if not (mine.any() or first.any()):
        return None
    return wilcoxon_p(mine - first) if design == "paired" else welch_p(mine, first)


def welch_p(a: HostArray, b: HostArray) -> float | None:
    """Two-sided p of "two groups have the same mean", which need not be equally large or spread.

    Welch's t-test (1947). None where a group has fewer than two members, or where neither has any
    spread though the means differ.

    Examples
    --------
    >>> import numpy as np
    >>> welch_p(np.zeros(5), np.zeros(4)), welch_p(np.zeros(5), np.ones(1))
    (1.0, None)
    """
    if min(len(a), len(b)) < 2:
        return None
    if not (np.ptp(a) or np.ptp(b)):
        return 1.0 if a[0] == b[0] else None
    parts = [(group.mean(), group.std(ddof=1), len(group)) for group in (a, b)]
    return float(ttest_ind_from_stats(*parts[0], *parts[1], equal_var=False).pvalue)


def notes(truth: GroundTruth) -> list[str]:
    """Caveats for the reader of the replay."""
    liked = truth.favorites.indptr
    if int(liked[truth.n_validation]) < int(liked[-1]):
        return []
    return [
        "no test user made a track or a playlist a favourite after registration day, so the "
        "replay's display-to-favourite rates say nothing"
    ]
