"""The input vector of registration-day signals (3.2.2), assembled batch by batch."""

from __future__ import annotations

from itertools import pairwise

from gpu_coldstart.catalogue import entries
from gpu_coldstart.config import Features
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.logs import Logs
from gpu_coldstart.signals import SCALAR_SIGNALS, SIGNALS, width
from gpu_coldstart.spaces import Space

__all__ = ["InputVectors", "age_class_names", "age_classes", "streamed_on_day_one"]


def age_class_names(first_ages: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the age classes.

    Examples
    --------
    >>> age_class_names((18, 25))
    ('under 18', '18-24', '25 and over')
    """
    middle = [f"{a}-{b - 1}" for a, b in pairwise(first_ages)]
    return (f"under {first_ages[0]}", *middle, f"{first_ages[-1]} and over")


def age_classes(engine: Engine, age: Array, first_ages: tuple[int, ...]) -> Array:
    """Class of each age [n] of float32, int32; -1 where the age is NaN."""
    xp = engine.xp
    classes = xp.searchsorted(xp.asarray(first_ages, dtype=xp.float32), age, side="right")
    return xp.where(xp.isnan(age), -1, classes).astype(xp.int32)


def streamed_on_day_one(engine: Engine, logs: Logs, users: Array) -> Csr:
    """Tracks each of ``users`` streamed on registration day [users, tracks], by event count."""
    signal = [signal.name for signal in SIGNALS].index("streamed_songs")
    rows = engine.take_rows(logs.registration, users * len(SIGNALS) + signal)
    # This signal's entities are tracks, which come first of all entities.
    return Csr(rows.indptr, rows.indices, rows.data, (rows.shape[0], logs.n_tracks))


class InputVectors:
    """The input vectors of all users in one space; only a batch of them exists at a time.

    What is kept grows with entities and events, never with users times 5139: the embedding of
    every entity, the registration-day matrix of the logs, and 19 scalars a user.

    Parameters
    ----------
    engine : Engine
    logs : Logs
    space : Space
    options : Features
    """

    def __init__(self, engine: Engine, logs: Logs, space: Space, options: Features):
        xp = engine.xp
        self._engine = engine
        self._dimension = space.dimension
        self.width = width(space.dimension)
        """Width of the vector: 2579 for d = 128, 5139 for d = 256."""
        self._entities = engine.pool(logs.members, space.tracks)
        self._signals = logs.registration
        if options.pooling == "distinct":
            self._signals = self._signals.with_data(xp.ones(logs.registration.nnz, xp.float32))
        classes = age_classes(engine, logs.age, options.age_classes)
        self._age = _group_means(engine, classes, len(options.age_classes) + 1, logs, space)
        self._age_class = classes
        self._country = _group_means(engine, logs.country, len(logs.countries), logs, space)
        self._country_code = logs.country
        self.scalars = _scalars(engine, logs, options)
        """Array [users, 19] of float32, scaled as configured."""

    def batch(self, users: Array) -> Array:
        """Input vectors of some users.

        Parameters
        ----------
        users : Array [n] of integers
            Numbers of users, warm or cold.

        Returns
        -------
        Array [n, width] of float32
        """
        xp = self._engine.xp
        n, d = len(users), self._dimension
        rows = (users[:, None] * len(SIGNALS) + xp.arange(len(SIGNALS))).ravel()
        pooled = self._engine.pool(self._engine.take_rows(self._signals, rows), self._entities)
        vectors = xp.empty((n, self.width), dtype=xp.float32)
        vectors[:, :d] = self._age[self._age_class[users]]
        vectors[:, d : 2 * d] = self._country[self._country_code[users]]
        vectors[:, 2 * d : -self.scalars.shape[1]] = pooled.reshape(n, -1)
        vectors[:, -self.scalars.shape[1] :] = self.scalars[users]
        return vectors


def _group_means(engine: Engine, group: Array, n_groups: int, logs: Logs, space: Space) -> Array:
    """Mean embedding of each group's warm users, and a last null row that group -1 finds."""
    xp = engine.xp
    warm = group[logs.users("warm")]
    known = warm >= 0
    members = engine.csr(
        warm[known],
        xp.arange(logs.n_warm)[known],
        xp.ones(int(known.sum()), dtype=xp.float32),
        (n_groups + 1, logs.n_warm),
    )
    return engine.pool(members, space.users)


def _scalars(engine: Engine, logs: Logs, options: Features) -> Array:
    """The 19 scalars of every user: age in years (0 where unknown), then event counts."""
    xp = engine.xp
    rows, _ = entries(engine, logs.registration)
    counts = xp.bincount(
        rows, weights=logs.registration.data, minlength=logs.n_users * len(SIGNALS)
    ).reshape(logs.n_users, len(SIGNALS))
    counts = counts[:, list(SCALAR_SIGNALS)]
    known = ~xp.isnan(logs.age)
    age = xp.where(known, logs.age, 0).astype(xp.float64)
    if options.scalars == "raw":
        return xp.concatenate([age[:, None], counts], axis=1).astype(xp.float32)
    warm = logs.users("warm")
    if int(known[warm].sum()):
        age = xp.where(known, age, age[warm][known[warm]].mean())
    values = xp.concatenate([age[:, None], xp.log1p(counts)], axis=1)
    spread = values[warm].std(axis=0)
    scaled = (values - values[warm].mean(axis=0)) / (spread + (spread == 0))
    return scaled.astype(xp.float32)
