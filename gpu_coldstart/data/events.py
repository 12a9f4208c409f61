"""Interactions whose user and entity are known, as the numbers the rest works with."""

from __future__ import annotations

from typing import Any, NamedTuple

from gpu_coldstart.data.catalogue import Catalogue
from gpu_coldstart.data.tables import ACTIONS, ENTITIES, Tables
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

__all__ = ["DAY", "Events", "event_code", "known_events"]

DAY = 86_400_000_000
"""Microseconds."""


class Events(NamedTuple):
    """Interactions whose user and entity are known, as parallel arrays."""

    user: Array  # int32
    day: Array  # int32, counted from 1970
    since: Array  # int32, days since the user's registration day
    what: Array  # int16, code of action and kind of entity
    entity: Array  # int32, number among all entities
    count: Array  # float32

    def where(self, kept: Array) -> Events:
        """The events picked by a mask."""
        # Places are found once; picking by a mask would search all of it for each column.
        places = kept.nonzero()[0]
        if len(places) == len(kept):
            return self
        return Events(*(column[places] for column in self))

    def are(self, action: str, *kinds: str) -> Array:
        """Mask of the events of one action on one kind of entity, or on some kinds."""
        first, *others = (event_code(ACTIONS.index(action), ENTITIES.index(kind)) for kind in kinds)
        found = self.what == first
        for code in others:
            found |= self.what == code
        return found

    def on_days(self, last: int) -> Array:
        """Mask of the events of day 1 to day ``last`` after their user's registration day."""
        return (self.since >= 1) & (self.since <= last)


def event_code(action: Any, kind: Any) -> Any:
    """One code for an action on a kind of entity, from the codes of both."""
    return action * len(ENTITIES) + kind


def known_events(
    engine: Engine, tables: Tables, user_keys: Array, registered: Array, catalogue: Catalogue
) -> tuple[Events, list[str]]:
    """Interactions with known users and entities, from the registration day on.

    Parameters
    ----------
    user_keys, registered : Array [users] of int64
        Ids, ascending, and registration days counted from 1970.

    Returns
    -------
    events : Events
        ``user`` is a place in ``user_keys``.
    notes : list of str
        What was left out.

    Raises
    ------
    UserError
        When more than half of the interactions name unknown users or entities.
    """
    xp = engine.xp
    table = tables.interactions
    user = engine.lookup(table["user_id"].values, user_keys)
    kind, action = table["entity"].values, table["action"].values
    entity = xp.full(len(user), -1, dtype=xp.int32)
    for code, name in enumerate(ENTITIES):
        of_kind = kind == code
        found = engine.lookup(table["entity_id"].values[of_kind], catalogue.ids[name])
        entity[of_kind] = xp.where(found >= 0, found + catalogue.first(name), -1)
    unknown = (user < 0) | (entity < 0)
    if tables.playlists is None:
        unlisted = kind == ENTITIES.index("playlist")
        unknown = unknown & ~unlisted
    else:
        unlisted = xp.zeros(len(user), dtype=bool)
    notes = _count_unknown(engine, tables, user, unknown)

    day = (table["timestamp"].values // DAY).astype(xp.int32)
    since = day - registered.astype(xp.int32)[xp.maximum(user, 0)]
    early = ~unknown & ~unlisted & (since < 0)
    if int(early.sum()):
        notes.append(
            f"{int(early.sum())} interactions come before their user's registration day; left out"
        )
    if int(unlisted.sum()):
        notes.append(
            f"{int(unlisted.sum())} interactions name playlists, but there is no "
            "playlists.parquet; left out"
        )
    count = table["count"].values if "count" in table else xp.ones(len(user))
    what = event_code(action.astype(xp.int16), kind.astype(xp.int16))
    events = Events(user, day, since, what, entity, count.astype(xp.float32))
    return events.where(~(unknown | early | unlisted)), notes


def _count_unknown(engine: Engine, tables: Tables, user: Array, unknown: Array) -> list[str]:
    """Note how many interactions name unknown ids; refuse a table where most do."""
    total, lost = len(user), int(unknown.sum())
    if not lost:
        return []
    if 2 * lost > total:
        row = int(engine.xp.argmax(unknown))
        column = "user_id" if int(user[row]) < 0 else "entity_id"
        kind = "user"
        if column == "entity_id":
            kind = ENTITIES[int(tables.interactions["entity"].values[row])]
        value = f", value {int(tables.interactions[column].values[row])}"
        value = "" if kind in tables.ids.strings else value
        raise UserError(
            f"interactions.parquet: {lost} of {total} rows name ids that the other tables do not "
            f"have, the first in row {row} (counting from 0), column {column}"
            f"{value}: check that all files come from the same logs"
        )
    return [f"{lost} of {total} interactions name unknown users or entities; left out"]
