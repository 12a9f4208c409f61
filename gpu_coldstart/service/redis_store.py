"""Users in Redis, for services of several processes or machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.stores import Known, Store, StoreError, StoreFull, full
from gpu_coldstart.serving.recommender import Event

__all__ = ["RedisStore"]

_log = logging.getLogger(__name__)

_PREFIX = b"gpu-coldstart:user:"
_PATIENCE_S = 1.0
"""For a connection, a free one among those that are open, and an answer."""
_CONNECTIONS = 32

# One user is one hash: fields "country" and "age"; "events", how many there are; and for each add
# that brought some, their JSON under the number of those before. A script runs alone in Redis.
_ADD = """
local before = tonumber(redis.call('HGET', KEYS[1], 'events') or '0')
local more = tonumber(ARGV[3])
if before + more > tonumber(ARGV[2]) then return false end
if more > 0 then redis.call('HSET', KEYS[1], before, ARGV[4]) end
redis.call('HINCRBY', KEYS[1], 'events', more)
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])
"""


class RedisStore(Store):
    """Remembers users in a Redis server, under one key each, which expires by itself.

    Parameters
    ----------
    url : str
        ``redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]``, ``rediss://...`` or ``unix://PATH``.
    ttl_s : float
        Seconds after its last ``add`` that a user is forgotten.
    most_events : int
        Of one user.

    Raises
    ------
    UserError
        For a URL that cannot be read.
    """

    def __init__(self, url: str, ttl_s: float, most_events: int):
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_PATIENCE_S,
                socket_timeout=_PATIENCE_S,
                socket_connect_timeout=_PATIENCE_S,
                # Whether an add arrived is not known when its answer is lost, and it must not be
                # done twice. The pool itself replaces connections that were closed meanwhile.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            # Not the URL, which may hold a password.
            raise UserError(
                "the URL of the Redis store cannot be read: write redis://HOST:PORT/DATABASE"
            ) from error
        options = pool.connection_kwargs
        self._place = options.get("path") or "{}:{}".format(
            options.get("host", "localhost"), options.get("port", 6379)
        )
        self._redis = Redis(connection_pool=pool)
        self._add = self._redis.register_script(_ADD)
        self._lost = False
        self._ttl_ms, self._most_events = round(1000 * ttl_s), most_events

    async def add(self, user: str, known: Known) -> Known:
        """See :meth:`Store.add`."""
        events = [[each.action, each.entity, each.id, each.count] for each in known.events]
        arguments: list[Any] = [self._ttl_ms, self._most_events, len(events), json.dumps(events)]
        for name in ("country", "age"):
            value = getattr(known, name)
            if value is not None:
                arguments += [name, json.dumps(value)]
        with self._reached():
            fields = await self._add(keys=[_key(user)], args=arguments)
        if fields is None:
            raise StoreFull(full(self._most_events))
        return _known(dict(zip(fields[::2], fields[1::2], strict=True)))

    async def get(self, user: str) -> Known | None:
        """See :meth:`Store.get`."""
        with self._reached():
            # Bytes, as nothing is decoded; the stub covers both.
            fields: Any = await self._redis.hgetall(_key(user))
        return _known(fields) if fields else None

    async def check(self) -> None:
        """See :meth:`Store.check`."""
        with self._reached():
            await self._redis.ping()

    async def close(self) -> None:
        """See :meth:`Store.close`."""
        await self._redis.aclose()
        await self._redis.connection_pool.aclose()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what goes wrong with the server into a StoreError, and log it once.

        Where the server is and what it says is for the log only, as the error is told to clients.
        """
        try:
            yield
        except (RedisError, OSError) as error:
            if not self._lost:
                reason = " ".join(str(error).split()) or type(error).__name__
                _log.error("the Redis at %s cannot be used: %s", self._place, reason)
            self._lost = True
            raise StoreError("the store of users cannot be reached") from error
        if self._lost:
            _log.info("the Redis at %s can be used again", self._place)
        self._lost = False


def _key(user: str) -> bytes:
    """The key of a user, whose id may be any text that JSON can hold."""
    return _PREFIX + user.encode("utf-8", "surrogatepass")


def _known(fields: Mapping[bytes, bytes]) -> Known:
    """What the fields of a user's hash say."""
    said = {name.decode(): json.loads(value) for name, value in fields.items()}
    parts = sorted((int(name), events) for name, events in said.items() if name.isdigit())
    events = (Event(*event) for _, part in parts for event in part)
    return Known(said.get("country"), said.get("age"), tuple(events))
