"""``gpu-coldstart load-store``: users and what they did, from files, for a running service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.recommend import read_tables
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_coldstart.service.stores import Known, Store

__all__ = ["HELP", "SHORT", "load_store"]

SHORT = "Tell a service's store of users who did what."
HELP = """\
Tell a service's store of users who did what, as POST /v1/events would for each of them.

STORE is the URL of a Redis server. What it knows of a user already stays: newer answers win, and
events are added, so a file that is loaded twice counts twice. Where the files say when users
registered and when events were, only events of the day of registration (UTC) are loaded.
"""

_AT_ONCE = 32
_DAY_US = 24 * 3600 * 1_000_000


def load_store(
    *,
    store: Annotated[
        str, typer.Argument(metavar="STORE", parser=str, help="redis://HOST:PORT/DATABASE")
    ],
    users: Annotated[
        Path,
        options.path(
            "--users", "FILE", "Users, .parquet or .csv: user_id; country, age, registered_at."
        ),
    ],
    interactions: Annotated[
        Path | None,
        options.path("--interactions", "FILE", "Their first-day events, .parquet or .csv."),
    ] = None,
    ttl: Annotated[
        int, options.integer("--ttl", "S", "Seconds until a user is forgotten (default: 86400).")
    ] = 86_400,
    max_events: Annotated[
        int, options.integer("--max-events", "N", "Events of a user (default: 10000).")
    ] = 10_000,
) -> None:
    """Read the files, check them, and fill the store."""
    from gpu_coldstart.service.stores import open_store

    if store == "memory":
        raise UserError("the store in memory is a service's own: give the URL of a Redis server")
    if not ttl:
        raise UserError("--ttl is 0, which forgets at once: give 1 or more")
    # The error says what the log would.
    logging.getLogger("gpu_coldstart.service").addHandler(logging.NullHandler())
    with interruption.work():
        opened = open_store(store, ttl_s=ttl, most_users=1, most_events=max_events)
        people, events = read_tables({"users": users, "interactions": interactions})
        known, strangers = _known(people, events)
        asyncio.run(_fill(opened, known.items()))
    if strangers:
        console.write(f"note: {strangers} interactions are of users whom {users} does not have")
    total = sum(len(each.events) for each in known.values())
    console.write(f"{len(known)} users and {total} events are in the store")


async def _fill(store: Store, everyone: Iterable[tuple[str, Known]]) -> None:
    """Add what is known of everyone, some at a time.

    Raises
    ------
    UserError
        When the store cannot be reached, or holds no more events of a user.
    """
    from gpu_coldstart.service.stores import StoreError, StoreFull

    async def add(user: str, known: Known) -> None:
        try:
            await store.add(user, known)
        except StoreFull as error:
            raise UserError(f"user {user!r}: {error}; see --max-events") from error

    remaining = iter(everyone)
    try:
        await store.check()
        while batch := list(islice(remaining, _AT_ONCE)):
            await asyncio.gather(*(add(*each) for each in batch))
    except StoreError as error:
        raise UserError(f"{error}: {error.__cause__}") from error
    finally:
        await store.close()


def _known(users: pa.Table | None, interactions: pa.Table | None) -> tuple[dict[str, Known], int]:
    """What files say of users, by id, and how many interactions are of nobody among them.

    Raises
    ------
    UserError
        For what the service would refuse of a user.
    """
    from pydantic import ValidationError

    from gpu_coldstart.service.schemas import EventsIn, first_problem
    from gpu_coldstart.service.stores import Known

    people = {str(row["user_id"]): row for row in _rows(users)}
    events: dict[str, list[dict[str, Any]]] = {user: [] for user in people}
    strangers = 0
    for row in _rows(interactions):
        user, day = str(row.pop("user_id")), row.pop("timestamp", None)
        if user not in people:
            strangers += 1
        elif day == people[user].get("registered_at", day) or day is None:
            events[user].append({"id": row.pop("entity_id", None), **row})
    known = {}
    for user, row in people.items():
        said = {name: row.get(name) for name in ("country", "age")}
        try:
            heard = EventsIn.model_validate({"user_id": user, **said, "events": events[user]})
        except ValidationError as error:
            raise UserError(f"user {user!r}: {first_problem(error)[1]}") from error
        known[user] = Known(heard.country, heard.age, heard.said())
    return known, strangers


def _rows(table: pa.Table | None) -> Iterator[dict[str, Any]]:
    """Rows of a table with plain values, moments as days since 1970; none of no table."""
    import pyarrow as pa

    if table is None:
        return
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            moments = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
            values = moments.cast(pa.int64()).to_pylist()
            columns[name] = [None if each is None else each // _DAY_US for each in values]
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            columns[name] = column.cast(pa.int64()).to_pylist()  # of whole numbers
        else:
            columns[name] = column.to_pylist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))
