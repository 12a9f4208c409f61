"""The input vector of registration-day signals (3.2.2), assembled batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

from gpu_coldstart.config.parameters import Features
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SCALAR_SIGNALS, SIGNALS, width
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces import Space

__all__ = [
    "InputVectors",
    "Inputs",
    "age_class_names",
    "age_classes",
    "scalars",
    "streamed_on_day_one",
]

_TABLE_BATCH = 4096


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
    signal = _signal("streamed_songs")
    rows = engine.take_rows(logs.registration, users * len(SIGNALS) + signal)
    # This signal's entities are tracks, which come first of all entities.
    return Csr(rows.indptr, rows.indices, rows.data, (rows.shape[0], logs.n_tracks))


class Inputs(ABC):
    """The input vectors of all users in one space.

    Attributes
    ----------
    width : int
        2579 for d = 128, 5139 for d = 256.
    scalars : Array [users, 19] of float32
        The last 19 numbers of every vector, scaled as configured.
    """

    width: int
    scalars: Array

    def __init__(self, engine: Engine):
        self._engine = engine

    @abstractmethod
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

    @abstractmethod
    def signal(self, name: str, users: Array) -> Array:
        """One signal's block of some users' input vectors.

        Parameters
        ----------
        name : str
            Of :data:`gpu_coldstart.data.signals.SIGNALS`.
        users : Array [n] of integers

        Returns
        -------
        Array [n, d] of float32
        """

    def table(self, users: Array) -> Callable[[Array], Array]:
        """A way to input vectors that are asked for over and over.

        Parameters
        ----------
        users : Array [n] of integers

        Returns
        -------
        callable
            From places in ``users`` [m] to their input vectors [m, width]. All vectors are made
            once if the engine can spare the memory, else those asked for, each time; they are the
            same bit by bit.
        """
        if 4 * len(users) * self.width > self._engine.resident_bytes:
            return lambda places: self.batch(users[places])
        xp = self._engine.xp
        whole = xp.empty((len(users), self.width), dtype=xp.float32)
        for start in range(0, len(users), _TABLE_BATCH):
            some = slice(start, start + _TABLE_BATCH)
            whole[some] = self.batch(users[some])
        return lambda places: whole[places]


class InputVectors(Inputs):
    """Input vectors made of registration-day events; only a batch of them exists at a time.

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
        super().__init__(engine)
        xp = engine.xp
        self._dimension = space.dimension
        self.width = width(space.dimension)
        self._entities = engine.pool(logs.members, space.tracks)
        self._signals = logs.registration
        if options.pooling == "distinct":
            self._signals = self._signals.with_data(xp.ones(logs.registration.nnz, xp.float32))
        classes = age_classes(engine, logs.age, options.age_classes)
        self._age = _group_means(engine, classes, len(options.age_classes) + 1, logs, space)
        self._age_class = classes
        self._country = _group_means(engine, logs.country, len(logs.countries), logs, space)
        self._country_code = logs.country
        self.scalars = scalars(engine, logs, options)

    def signal(self, name: str, users: Array) -> Array:
        """See :meth:`Inputs.signal`."""
        rows = users * len(SIGNALS) + _signal(name)
        return self._engine.pool(self._signals, self._entities, rows=rows)

    def batch(self, users: Array) -> Array:
        """See :meth:`Inputs.batch`."""
        xp = self._engine.xp
        n, d = len(users), self._dimension
        rows = (users[:, None] * len(SIGNALS) + xp.arange(len(SIGNALS))).ravel()
        vectors = xp.empty((n, self.width), dtype=xp.float32)
        vectors[:, :d] = self._age[self._age_class[users]]
        vectors[:, d : 2 * d] = self._country[self._country_code[users]]
        block = vectors[:, 2 * d : -self.scalars.shape[1]]
        self._engine.pool(self._signals, self._entities, rows=rows, out=block)
        vectors[:, -self.scalars.shape[1] :] = self.scalars[users]
        return vectors


def _signal(name: str) -> int:
    """Place of a signal in :data:`SIGNALS`."""
    return [signal.name for signal in SIGNALS].index(name)


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


def scalars(engine: Engine, logs: Logs, options: Features) -> Array:
    """The 19 scalars of every user: age in years (0 where unknown), then event counts."""
    xp = engine.xp
    counts = logs.signals[:, list(SCALAR_SIGNALS)].astype(xp.float64)
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
