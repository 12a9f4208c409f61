"""The input vector of registration-day signals (3.2.2), of any user, assembled batch by batch.

:class:`FeatureBuilder` is fitted once, on the warm users, and sees nothing of the users it is then
applied to but their :class:`~gpu_coldstart.data.registrations.Registrations`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from gpu_coldstart.batches import batches
from gpu_coldstart.config.parameters import FeaturesConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import SCALAR_SIGNALS, SIGNALS, signal_place, width
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.spaces import Space

__all__ = [
    "FeatureBuilder",
    "InputVectors",
    "Inputs",
    "Scaler",
    "age_class_names",
    "age_classes",
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


@dataclass(frozen=True)
class Scaler:
    """How the 19 scalars are scaled: as they are, or standardised on the warm users.

    Attributes
    ----------
    raw : bool
        Ages in years (0 where unknown) and counts as they are; the other fields are not used.
    age : float
        Mean age of the warm users, which stands in for an unknown one.
    mean, spread : Array [19] of float64
        Of the age and of the logarithms of 1 + each count; a spread of 0 is stored as 1.
    """

    raw: bool
    age: float
    mean: Array
    spread: Array

    @classmethod
    def fit(cls, engine: Engine, warm: Registrations, *, raw: bool) -> Scaler:
        """Learn the means and deviations of the warm users."""
        xp = engine.xp
        known = ~xp.isnan(warm.age)
        ages = warm.age.astype(xp.float64)[known]
        age = float(ages.mean()) if len(ages) else 0.0
        unscaled = cls(raw, age, xp.zeros(1), xp.ones(1))
        if raw:
            return unscaled
        values = unscaled._values(engine, warm)
        spread = values.std(axis=0)
        return cls(raw, age, values.mean(axis=0), spread + (spread == 0))

    def apply(self, engine: Engine, registrations: Registrations) -> Array:
        """The scalars of every user [users, 19] of float32."""
        xp = engine.xp
        values = self._values(engine, registrations)
        if not self.raw:
            values = (values - self.mean) / self.spread
        return values.astype(xp.float32)

    def _values(self, engine: Engine, registrations: Registrations) -> Array:
        """Ages and counts, or their logarithms, before they are centred and scaled."""
        xp = engine.xp
        counts = registrations.signals[:, list(SCALAR_SIGNALS)].astype(xp.float64)
        age = registrations.age.astype(xp.float64)
        age = xp.where(xp.isnan(age), 0.0 if self.raw else self.age, age)
        counts = counts if self.raw else xp.log1p(counts)
        return xp.concatenate([age[:, None], counts], axis=1)


@dataclass(frozen=True)
class FeatureBuilder:
    """From what is known of a user to their input vector in one space.

    Attributes
    ----------
    entities : Array [entities, d] of float32
        Mean embedding of each track's, artist's, album's and playlist's tracks.
    age, country : Array [classes + 1, d], [countries + 1, d] of float32
        Mean embedding of the warm users of each age class and country, and a last null row.
    first_ages : tuple of int
        First age of each class after the youngest.
    distinct : bool
        Whether a signal's block is the mean over distinct entities rather than over events.
    scaler : Scaler
    """

    entities: Array
    age: Array
    country: Array
    first_ages: tuple[int, ...]
    distinct: bool
    scaler: Scaler

    @classmethod
    def fit(
        cls, engine: Engine, logs: Logs, space: Space, options: FeaturesConfig
    ) -> FeatureBuilder:
        """Learn everything from the warm users and the embeddings of a space."""
        xp = engine.xp
        warm = xp.arange(logs.n_warm)
        registrations = logs.registrations.first(logs.n_warm)
        classes = age_classes(engine, registrations.age, options.age_classes)

        def means(group: Array, n_groups: int) -> Array:
            known = group >= 0
            ones = xp.ones(int(known.sum()), dtype=xp.float32)
            shape = (n_groups + 1, logs.n_warm)
            return engine.pool(engine.csr(group[known], warm[known], ones, shape), space.users)

        return cls(
            entities=engine.pool(logs.members, space.tracks),
            age=means(classes, len(options.age_classes) + 1),
            country=means(registrations.country, len(logs.countries)),
            first_ages=options.age_classes,
            distinct=options.pooling == "distinct",
            scaler=Scaler.fit(engine, registrations, raw=options.scalars == "raw"),
        )

    @property
    def dimension(self) -> int:
        """The dimension d of the space."""
        return int(self.entities.shape[1])


class Resident:
    """Input vectors that all lie in the engine's memory: from places to rows of ``whole``."""

    def __init__(self, whole: Array):
        self.whole = whole

    def __call__(self, places: Array) -> Array:
        """Input vectors at some places; those of a slice are not copied."""
        return self.whole[places]


class Inputs(ABC):
    """The input vectors of some users in one space, made when asked for.

    Attributes
    ----------
    width : int
        2579 for d = 128, 5139 for d = 256.
    scalars : Array [users, 19] of float32
        The last 19 numbers of every vector, scaled as configured.
    builder : FeatureBuilder or None
        What makes input vectors of other users; None where vectors came ready made.
    """

    width: int
    scalars: Array
    builder: FeatureBuilder | None = None

    def __init__(self, engine: Engine):
        self._engine = engine

    @abstractmethod
    def batch(self, users: Array) -> Array:
        """Input vectors of some users.

        Parameters
        ----------
        users : Array [n] of integers
            Their numbers.

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
            From places in ``users`` [m], or a slice of them, to their input vectors [m, width]. All
            vectors are made once if the engine can spare the memory, else those asked for, each
            time; they are the same bit by bit.
        """
        if 4 * len(users) * self.width > self._engine.resident_bytes:
            return lambda places: self.batch(users[places])
        xp = self._engine.xp
        whole = xp.empty((len(users), self.width), dtype=xp.float32)
        for some in batches(len(users), _TABLE_BATCH):
            whole[some] = self.batch(users[some])
        return Resident(whole)


class InputVectors(Inputs):
    """Input vectors made of registration-day events; only a batch of them exists at a time.

    Parameters
    ----------
    engine : Engine
    builder : FeatureBuilder
    registrations : Registrations
        Of users numbered as in the calls below, whether or not the builder was fitted on them.
    """

    def __init__(self, engine: Engine, builder: FeatureBuilder, registrations: Registrations):
        super().__init__(engine)
        self.width = width(builder.dimension)
        self.scalars = builder.scaler.apply(engine, registrations)
        self.builder: FeatureBuilder = builder
        self._country = registrations.country
        self._age_class = age_classes(engine, registrations.age, builder.first_ages)
        self._events = registrations.events
        if builder.distinct:
            xp = engine.xp
            self._events = self._events.with_data(xp.ones(self._events.nnz, dtype=xp.float32))

    def signal(self, name: str, users: Array) -> Array:
        """See :meth:`Inputs.signal`."""
        rows = users * len(SIGNALS) + signal_place(name)
        return self._engine.pool(self._events, self.builder.entities, rows=rows)

    def batch(self, users: Array) -> Array:
        """See :meth:`Inputs.batch`."""
        xp, builder = self._engine.xp, self.builder
        n, d = len(users), builder.dimension
        rows = (users[:, None] * len(SIGNALS) + xp.arange(len(SIGNALS))).ravel()
        vectors = xp.empty((n, self.width), dtype=xp.float32)
        # A class or country of -1 finds the last row, which is null.
        vectors[:, :d] = builder.age[self._age_class[users]]
        vectors[:, d : 2 * d] = builder.country[self._country[users]]
        block = vectors[:, 2 * d : -self.scalars.shape[1]]
        self._engine.pool(self._events, builder.entities, rows=rows, out=block)
        vectors[:, -self.scalars.shape[1] :] = self.scalars[users]
        return vectors
