"""What a service knows of users, between one request and the next."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass

from gpu_coldstart.errors import UserError
from gpu_coldstart.serving.recommender import Event

__all__ = ["Known", "MemoryStore", "Store", "StoreError", "StoreFull", "open_store"]


class StoreError(Exception):
    """A store cannot be reached, in one sentence."""


class StoreFull(Exception):  # noqa: N818
    """A user has as many events as a store keeps of one, in one sentence."""


@dataclass(frozen=True)
class Known:
    """What is known of a user.

    Attributes
    ----------
    country : str or None
    age : float or None
        In years.
    events : tuple of Event
    """

    country: str | None = None
    age: float | None = None
    events: tuple[Event, ...] = ()


class Store(ABC):
    """Keeps what is known of users until it expires."""

    @abstractmethod
    async def add(self, user: str, known: Known) -> Known:
        """Learn more of a user; returns all that is known now."""

    @abstractmethod
    async def get(self, user: str) -> Known | None:
        """What is known of a user; None for one who was never heard of, or is forgotten."""

    @abstractmethod
    async def check(self) -> None:
        """Raise StoreError where the store cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Give connections back."""


class MemoryStore(Store):
    """Users of one process."""

    def __init__(self, ttl_s: float, most_users: int, most_events: int):
        self._ttl_s, self._most_users, self._most_events = ttl_s, most_users, most_events
        self._users: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    async def add(self, user: str, known: Known) -> Known:
        """Learn more of a user."""
        old = await self.get(user) or Known()
        events = old.events + known.events
        if len(events) > self._most_events:
            raise StoreFull(f"a user may have at most {self._most_events} events")
        country = old.country if known.country is None else known.country
        age = old.age if known.age is None else known.age
        new = Known(country, age, events)
        self._users[user] = (time.monotonic() + self._ttl_s, new)
        self._users.move_to_end(user)
        if len(self._users) > self._most_users:
            self._users.popitem(last=False)
        return new

    async def get(self, user: str) -> Known | None:
        """What is known of a user."""
        expires, known = self._users.get(user, (0.0, None))
        return known if time.monotonic() < expires else None

    async def check(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Nothing is held."""


def open_store(url: str, ttl_s: float, most_users: int, most_events: int) -> Store:
    """The store of a URL.

    Raises
    ------
    UserError
        For one of no known kind.
    """
    if url == "memory":
        return MemoryStore(ttl_s, most_users, most_events)
    raise UserError("the store must be memory")
