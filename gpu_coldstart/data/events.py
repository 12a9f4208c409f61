"""Interactions whose user and entity are known, as the numbers the rest works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gpu_coldstart.data.catalogue import Catalogue
from gpu_coldstart.data.numbering import Numbering
from gpu_coldstart.data.tables import ACTIONS, ENTITIES, Tables
from gpu_coldstart.engine.base import Array, Column, Csr, Engine
from gpu_coldstart.errors import UserError

__all__ = ["DAY", "Events", "LeftOut", "event_code", "known_events", "unlisted_kinds"]

DAY = 86_400_000_000
"""Microseconds."""

_MISSED, _MANY = 0.2, 5
"""Share and number of users, active within a day of registering but not on the calendar day, that
point to a wrong time zone."""


class Events(NamedTuple):
    """Interactions whose user and entity are known, as parallel arrays."""

    user: Array  # int32
    day: Array  # int32, counted from 1970
    since: Array  # int32, days since the user's registration day
    what: Array  # int16, code of action and kind of entity
    entity: Array  # int32, number among all entities
    count: Array  # float32

    @classmethod
    def of(
        cls,
        engine: Engine,
        table: Mapping[str, Column],
        user: Array,
        entity: Array,
        registered: Array | None,
    ) -> Events:
        """The rows of an interactions table.

        Parameters
        ----------
        user, entity : Array [rows] of int32
            Numbers of each row's user and entity; -1 where unknown.
        registered : Array [users] of int64, or None
            Moments of registration; where they or the rows' own are not known, every day is 0.
        """
        xp = engine.xp
        day = since = xp.zeros(len(user), dtype=xp.int32)
        if registered is not None and "timestamp" in table:
            day = (table["timestamp"].values // DAY).astype(xp.int32)
            since = day - (registered // DAY).astype(xp.int32)[xp.maximum(user, 0)]
        action, kind = (table[name].values.astype(xp.int16) for name in ("action", "entity"))
        count = table["count"].values if "count" in table else xp.ones(len(user))
        what = event_code(action, kind)
        return cls(user, day, since, what, entity, count.astype(xp.float32))

    @classmethod
    def none(cls, engine: Engine) -> Events:
        """No events."""
        xp = engine.xp
        none = xp.zeros(0, dtype=xp.int32)
        return cls(none, none, none, none.astype(xp.int16), none, none.astype(xp.float32))

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
        mask = self.what == first
        for code in others:
            mask |= self.what == code
        return mask

    def pairs(self, engine: Engine, shape: tuple[int, int]) -> Csr:
        """Each user's events with each entity, added up: a matrix of that shape."""
        return engine.csr(self.user, self.entity, self.count, shape)

    def on_days(self, last: int) -> Array:
        """Mask of the events of day 1 to day ``last`` after their user's registration day."""
        return (self.since >= 1) & (self.since <= last)


def event_code(action: Any, kind: Any) -> Any:
    """One code for an action on a kind of entity, from the codes of both."""
    return action * len(ENTITIES) + kind


def known_events(
    engine: Engine,
    tables: Tables,
    user_keys: Array,
    registered: Array,
    catalogue: Catalogue,
    *,
    early: bool = False,
) -> tuple[Events, list[str]]:
    """Interactions with known users and entities, from the registration day on.

    Parameters
    ----------
    user_keys, registered : Array [users] of int64
        Ids, ascending, and moments of registration.
    early : bool
        Whether those before the registration day are wanted, too.

    Returns
    -------
    events : Events
        ``user`` is a place in ``user_keys``.
    notes : list of str
        What was left out.

    Raises
    ------
    UserError
        When more than half of the interactions name unknown users or entities, or none is left.
    """
    xp = engine.xp
    table = tables.interactions
    user = engine.lookup(table["user_id"].values, user_keys)
    kind = table["entity"].values
    entity = catalogue.numbers(engine, kind, table["entity_id"].values)
    unlisted = xp.zeros(len(user), dtype=bool)
    by_kind = {}
    for name in unlisted_kinds(catalogue):
        mine = kind == ENTITIES.index(name)
        unlisted |= mine
        by_kind[name] = int(mine.sum())
    unknown = ((user < 0) | (entity < 0)) & ~unlisted

    def example() -> str:
        row = int(xp.argmax(unknown))
        return tables.cell("interactions", "user_id" if int(user[row]) < 0 else "entity_id", row)

    events = Events.of(engine, table, user, entity, registered)
    known = ~(unknown | unlisted)
    left_out = LeftOut(
        len(user),
        int(unknown.sum()),
        int((known & (events.since < 0)).sum()),
        *_missed_days(engine, events, table["timestamp"].values, registered, known),
        by_kind,
    )
    notes = left_out.notes(example)
    events = events.where(known if early else known & (events.since >= 0))
    if not len(events.day):
        raise left_out.nothing(notes)
    return events, notes


class LeftOut(NamedTuple):
    """How many interactions count for nothing, and why.

    Attributes
    ----------
    total : int
        All interactions.
    unknown : int
        Those of unknown users or entities.
    early : int
        Those before their user's registration day.
    active, missed : int
        Users who did something within 24 hours of registering, and those of them who did nothing
        on their registration day.
    unlisted : dict of kind to int
        Those with kinds of entities of which no table says what there are.
    """

    total: int
    unknown: int
    early: int
    active: int
    missed: int
    unlisted: dict[str, int]

    def notes(self, example: Callable[[], str]) -> list[str]:
        """What to tell people.

        Parameters
        ----------
        example : callable
            Tells of an unknown id, and where it stands.

        Raises
        ------
        UserError
            When most ids are unknown.
        """
        notes = []
        if 2 * self.unknown > self.total:
            raise UserError(
                f"{self.unknown} of {self.total} interactions name ids that the other tables do "
                f"not have, the first being {example()}: check that all tables come from the same "
                "logs"
            )
        if self.unknown:
            notes.append(
                f"{self.unknown} of {self.total} interactions name unknown users or entities; left "
                "out"
            )
        if self.early:
            notes.append(
                f"{self.early} interactions come before their user's registration day; left out"
            )
        if self.missed >= _MANY and self.missed > _MISSED * self.active:
            notes.append(
                f"{self.missed} of {self.active} users who did something within 24 hours of "
                "registering did nothing on their registration day, a calendar day in UTC: "
                "registered_at or timestamp may be in another time zone; write both in UTC"
            )
        for kind, count in self.unlisted.items():
            if count:
                notes.append(f"{count} interactions name {kind}s, but {_missing(kind)}; left out")
        return notes

    def nothing(self, notes: list[str]) -> UserError:
        """To be raised where no interaction is left."""
        reasons = ", and ".join(note.removesuffix("; left out") for note in notes)
        return UserError(f"none of the {self.total} interactions can be used: {reasons}")


def unlisted_kinds(catalogue: Numbering) -> list[str]:
    """Kinds of entities of which no table says what there are."""
    return [kind for kind in ENTITIES if not len(catalogue.ids_of(kind))]


def _missing(kind: str) -> str:
    """What would say which entities of a kind there are."""
    if kind == "playlist":
        return "there is no table of them"
    return f"the tracks have no {kind}_id"


def _missed_days(
    engine: Engine, events: Events, moments: Array, registered: Array, known: Array
) -> tuple[int, int]:
    """How many users were active near their registration, and how many of them not on its day.

    Parameters
    ----------
    moments : Array [events] of int64
    registered : Array [users] of int64
    known : Array [events] of bool
    """
    xp = engine.xp
    near = known & (xp.abs(moments - registered[xp.maximum(events.user, 0)]) < DAY)
    active = xp.bincount(events.user[near], minlength=len(registered)) > 0
    present = known & (events.since == 0)
    missed = active & (xp.bincount(events.user[present], minlength=len(registered)) == 0)
    return int(active.sum()), int(missed.sum())
