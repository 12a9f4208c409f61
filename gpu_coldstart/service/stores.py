"""What the service remembers of users between one request and the next, until it expires."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gpu_coldstart.errors import UserError
from gpu_coldstart.serving.recommender import Event

__all__ = ["Known", "MemoryStore", "Store", "StoreError", "StoreFull", "open_store"]


class StoreError(Exception):
    """A store cannot be reached or used; one sentence says why."""


# It is not a fault of the store, so it is not called an error.
class StoreFull(Exception):  # noqa: N818
    """A user would have more events than a store keeps of one; one sentence says so."""


@dataclass(frozen=True)
class Known:
    """What is known of a user.

    Attributes
    ----------
    country : str or None
    age : float or None
        In years.
    events : tuple of Event
        In the order in which they were heard of.
    """

    country: str | None = None
    age: float | None = None
    events: tuple[Event, ...] = ()

    def and_(self, newer: Known) -> Known:
        """All that is known after hearing more: newer answers win, events add up."""
        return Known(
            self.country if newer.country is None else newer.country,
            self.age if newer.age is None else newer.age,
            self.events + newer.events,
        )


class Store(ABC):
    """Keeps what is known of users until nothing new has been heard of them for some time.

    All of it belongs to the one event loop that first used it. Another kind of store is a subclass
    and a line in :func:`open_store`.
    """

    @abstractmethod
    async def add(self, user: str, known: Known) -> Known:
        """Learn more of a user, whose expiry starts anew; returns all that is known now.

        Calls at the same time, from any number of processes, lose nothing.

        Raises
        ------
        StoreFull
            When the user would have too many events; then nothing of ``known`` is kept.
        StoreError
            When the store cannot be reached; then it may or may not be kept.
        """

    @abstractmethod
    async def get(self, user: str) -> Known | None:
        """What is known of a user, or None of one who is not known (any more).

        Raises
        ------
        StoreError
            When the store cannot be reached.
        """

    @abstractmethod
    async def check(self) -> None:
        """Do nothing, or raise StoreError when the store cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


class MemoryStore(Store):
    """Remembers users within this process, and forgets all of them when it ends.

    Parameters
    ----------
    ttl_s : float
        Seconds after its last ``add`` that a user is forgotten.
    most_users : int
        When there are more, the one not heard of for the longest is forgotten.
    most_events : int
        Of one user.
    clock : callable
        Seconds from any moment on.
    """

    def __init__(
        self,
        ttl_s: float,
        most_users: int,
        most_events: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._ttl_s, self._most_users, self._most_events = ttl_s, most_users, most_events
        self._clock = clock
        # By last add, and so by expiry as well: the first is the next to go.
        self._users: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    async def add(self, user: str, known: Known) -> Known:
        """See :meth:`Store.add`."""
        self._forget()
        _, before = self._users.get(user, (0.0, Known()))
        now = before.and_(known)
        if len(now.events) > self._most_events:
            raise StoreFull(full(self._most_events))
        self._users[user] = (self._clock() + self._ttl_s, now)
        self._users.move_to_end(user)
        if len(self._users) > self._most_users:
            self._users.popitem(last=False)
        return now

    async def get(self, user: str) -> Known | None:
        """See :meth:`Store.get`."""
        self._forget()
        _, known = self._users.get(user, (0.0, None))
        return known

    async def check(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Forget everyone."""
        self._users.clear()

    def _forget(self) -> None:
        """Drop those who have expired."""
        now = self._clock()
        while self._users and next(iter(self._users.values()))[0] <= now:
            self._users.popitem(last=False)


def full(most_events: int) -> str:
    """The sentence of a :class:`StoreFull`."""
    return f"a user may have at most {most_events} events"


def open_store(url: str, *, ttl_s: float, most_users: int, most_events: int) -> Store:
    """The store that a URL names; nothing is connected yet.

    Parameters
    ----------
    url : str
        ``"memory"``, ``"redis://HOST:PORT/DATABASE"``, ``"rediss://..."`` for TLS, or
        ``"unix://PATH"``.
    ttl_s : float
        Seconds after the last that is heard of a user until it is forgotten.
    most_users : int
        For memory only; a Redis server has a limit of its own (``maxmemory``).
    most_events : int
        Of one user.

    Raises
    ------
    UserError
        For a URL of no known kind, or one of Redis when its client is not installed.
    """
    if url == "memory":
        return MemoryStore(ttl_s, most_users, most_events)
    if url.startswith(("redis://", "rediss://", "unix://")):
        try:
            from gpu_coldstart.service.redis_store import RedisStore
        except ImportError as error:
            raise UserError(
                "the store in Redis needs the package redis: install gpu-coldstart[serve]"
            ) from error
        return RedisStore(url, ttl_s, most_events)
    # Not the URL, which may hold a password.
    raise UserError("the store must be memory, or a URL that begins with redis://")
