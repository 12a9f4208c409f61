"""Interactions counted by Spark: who is warm or cold, and what each user did how often.

The same rules as in :mod:`gpu_coldstart.data.selection`, asked as sums: how many rows cannot be
used, how many users were active on each day, how many events of warm users each day holds. From
these the driver decides on cohorts and dates, with the code of one machine, and then collects the
events that count, added up. All is DataFrame expressions, so that the RAPIDS Accelerator may run
them on GPUs.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.functions import col, expr

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data import cohorts
from gpu_coldstart.data.catalogue import Catalogue
from gpu_coldstart.data.events import DAY, Events, LeftOut, event_code, unlisted_kinds
from gpu_coldstart.data.extent import extent_of_counts
from gpu_coldstart.data.ids import is_string
from gpu_coldstart.data.numbering import Numbering
from gpu_coldstart.data.selection import Registered, Selection, assign, settle
from gpu_coldstart.data.tables import ACTIONS, ENTITIES, Tables
from gpu_coldstart.distributed.blocks import kept
from gpu_coldstart.engine.base import Array, Engine, HostArray

__all__ = ["Counting"]

# In SQL, as columns cannot be made before there is a session.
_KNOWN = "(user IS NOT NULL AND number IS NOT NULL)"
_WARM = f"(cohort = {cohorts.WARM})"


class Counting:
    """Selects users and events; a :class:`gpu_coldstart.data.indexing.Selecting`.

    Parameters
    ----------
    interactions : DataFrame
        What :func:`gpu_coldstart.distributed.checks.checked` returns.
    popularity_days : int
        As for :func:`gpu_coldstart.data.indexing.index`.
    """

    def __init__(self, interactions: DataFrame, popularity_days: int):
        self._interactions = interactions
        self._popularity_days = popularity_days

    def __call__(
        self,
        engine: Engine,
        tables: Tables,
        split: SplitConfig,
        users: Registered,
        catalogue: Catalogue,
        *,
        tested: bool,
    ) -> Selection:
        """See :class:`gpu_coldstart.data.indexing.Selecting`."""
        numbered = _Numbered(engine, self._interactions, tables, users, catalogue)
        dated = _dated(engine, numbered, split, users, catalogue, tested=tested)
        rows = numbered.rows(dated.assigned.cohort).where(_KNOWN)
        since = _period(self._popularity_days, split.truth_days)
        counted = rows.where(_count(dated.until, split.truth_days))
        return settle(
            engine,
            split,
            _collect(engine, counted, since=since),
            dated.assigned,
            last_day=dated.last_day,
            days=dated.days,
            n_entities=catalogue.n_entities,
            tested=tested,
            known=partial(_all_known, engine, rows, since, dated.last_day),
        )

    def histories(
        self,
        engine: Engine,
        tables: Tables,
        split: SplitConfig,
        users: Registered,
        entities: Numbering,
    ) -> DataFrame:
        """What all warm users did, those included that ``split.warm_users`` leaves out.

        Returns
        -------
        DataFrame
            ``user`` : int, place among the users by ascending id; ``number`` : int, of an entity;
            ``liked`` : whether it is a favourite rather than a track that was streamed; ``early`` :
            whether any of that counts for popularity; ``count`` : float, how often.
        """
        numbered = _Numbered(engine, self._interactions, tables, users, entities)
        dated = _dated(engine, numbered, split, users, entities, tested=False)
        every = assign(engine, split.replace(warm_users=0), users, dated.end, tested=False)
        liked = _are("favorite", "track", "artist", "album")
        rows = numbered.rows(every.cohort).where(
            f"{_KNOWN} AND {_WARM} AND since >= 0 AND day <= {dated.until} "
            f"AND ({_are('stream', 'track')} OR {liked})"
        )
        days = self._popularity_days
        early = f"since BETWEEN 1 AND {days}" if days else "true"
        told = rows.selectExpr("user", "number", f"{liked} AS liked", f"{early} AS early", "count")
        return told.groupBy("user", "number", "liked").agg(
            expr("max(early) AS early"), expr("float(sum(count)) AS count")
        )


class _Dated(NamedTuple):
    """Who is what, and which days count, as in :class:`gpu_coldstart.data.selection.Selection`.

    Attributes
    ----------
    end, until : int
        Last day of the logs, and of the warm events that count.
    """

    assigned: cohorts.Assigned
    end: int
    until: int
    last_day: int | None
    days: tuple[int, int]


def _dated(
    engine: Engine,
    numbered: _Numbered,
    split: SplitConfig,
    users: Registered,
    catalogue: Numbering,
    *,
    tested: bool,
) -> _Dated:
    """Decide on cohorts and dates from what each user did on each day."""
    with kept(_user_days(numbered.rows(users.given), catalogue)) as user_days:
        notes = _left_out(user_days, catalogue)
        end = _end(user_days, given=users.given is not None)
        assigned = assign(engine, split, users, end, tested=tested)
        by_day = _ByDay.of(user_days, numbered.cohorts(assigned.cohort), end)
    by_time = users.given is None
    strays = cohorts.strays(
        split,
        users.days if by_time else None,
        engine.asarray(by_day.strays(by_time=by_time)),
        end,
    )
    last_day, cut = cohorts.last_warm_day(
        split, assigned.cohort, users.days, engine.asarray(by_day.warm)
    )
    until = end if last_day is None else min(end, last_day)
    told = assigned._replace(notes=[*notes, *strays, *assigned.notes, *cut])
    return _Dated(told, end, until, last_day, by_day.streamed(until))


class _Numbered:
    """Interactions with the numbers of their users and entities, null where unknown."""

    def __init__(
        self,
        engine: Engine,
        interactions: DataFrame,
        tables: Tables,
        users: Registered,
        catalogue: Numbering,
    ):
        self._engine, self._interactions, self._users = engine, interactions, users
        self._spark = interactions.sparkSession
        text = interactions.schema["entity_id"].dataType.typeName() == "string"
        parts = []
        for code, kind in enumerate(ENTITIES):
            keys = tables.ids.names(kind, engine.to_host(catalogue.ids_of(kind)))
            if is_string(keys.type) and not text:
                continue  # no row has such an id
            first = catalogue.first(kind)
            parts.append(
                pa.table(
                    {
                        "entity": pa.array(np.full(len(keys), code, np.int32)),
                        "entity_id": keys.cast(pa.string()) if text else keys,
                        "number": pa.array(np.arange(first, first + len(keys), dtype=np.int32)),
                    }
                )
            )
        self._entities = self._spark.createDataFrame(pa.concat_tables(parts))
        self._ids = tables.ids.names("user", engine.to_host(users.ids))

    def cohorts(self, cohort: Array) -> DataFrame:
        """``user`` and ``cohort`` of each user, by ascending id."""
        codes = self._engine.to_host(cohort).astype(np.int32)
        table = {"user": np.arange(len(codes), dtype=np.int32), "cohort": codes}
        return self._spark.createDataFrame(pa.table(table))

    def rows(self, cohort: Array | None) -> DataFrame:
        """All interactions: ``user``, ``number``, ``entity`` (the kind), ``what``, ``day``,
        ``since``, ``near`` (within 24 hours of registering), ``count``, ``cohort``, and the ids.

        Parameters
        ----------
        cohort : Array [users] of int32, or None
            By ascending id.
        """
        host, n = self._engine.to_host, len(self._ids)
        users = pa.table(
            {
                "user_id": self._ids,
                "user": pa.array(np.arange(n, dtype=np.int32)),
                "registered": pa.array(host(self._users.moments)),
                "cohort": pa.array(
                    np.full(n, -1, np.int32) if cohort is None else host(cohort).astype(np.int32)
                ),
            }
        )
        joined = self._interactions.join(
            self._spark.createDataFrame(users), "user_id", "left"
        ).join(self._entities, ["entity", "entity_id"], "left")
        dated = joined.selectExpr(
            "*", f"int(micros div {DAY}) AS day", f"int(registered div {DAY}) AS registered_day"
        )
        return dated.select(
            *("user", "number", "entity", "count", "cohort", "user_id", "entity_id", "day"),
            event_code(col("action"), col("entity")).alias("what"),
            expr("day - registered_day AS since"),
            expr(f"abs(micros - registered) < {DAY} AS near"),
        )


def _unlisted(catalogue: Numbering) -> dict[str, int]:
    """Codes of the kinds of entities of which no table says what there are."""
    return {kind: ENTITIES.index(kind) for kind in unlisted_kinds(catalogue)}


def _user_days(rows: DataFrame, catalogue: Numbering) -> DataFrame:
    """What each user did on each day, in numbers: all that notes and dates are made of."""
    codes = _unlisted(catalogue)
    unlisted = f"entity IN ({', '.join(map(str, codes.values()))})" if codes else "false"
    unknown = f"(NOT {_KNOWN} AND NOT {unlisted})"
    return rows.groupBy("user", "cohort", "day").agg(
        expr("count(*) AS total"),
        expr(f"count_if({unknown}) AS unknown"),
        expr(f"count_if({_KNOWN} AND since < 0) AS early"),
        expr(f"count_if({_KNOWN} AND since >= 0) AS kept"),
        expr(f"count_if({_KNOWN} AND since >= 0 AND {_are('stream', 'track')}) AS streams"),
        expr(f"max({_KNOWN} AND near) AS active"),
        expr(f"max({_KNOWN} AND since = 0) AS present"),
        expr(f"min(user_id) FILTER (WHERE {unknown} AND user IS NULL) AS stranger"),
        expr(f"min(entity_id) FILTER (WHERE {unknown} AND user IS NOT NULL) AS strange"),
        *(expr(f"count_if(entity = {code}) AS {kind}") for kind, code in codes.items()),
    )


def _left_out(user_days: DataFrame, catalogue: Numbering) -> list[str]:
    """Notes on the interactions that cannot be used; see :class:`LeftOut`."""
    kinds = list(_unlisted(catalogue))
    sums = ("total", "unknown", "early", "kept", *kinds)
    by_user = user_days.groupBy("user").agg(
        *(expr(f"sum({name}) AS {name}") for name in sums),
        *(expr(f"max({name}) AS {name}") for name in ("active", "present")),
        *(expr(f"min({name}) AS {name}") for name in ("stranger", "strange")),
    )
    answer = by_user.agg(
        *(expr(f"sum({name}) AS {name}") for name in sums),
        expr("count_if(active) AS active"),
        expr("count_if(active AND NOT present) AS missed"),
        *(expr(f"min({name}) AS {name}") for name in ("stranger", "strange")),
    ).first()
    found = {} if answer is None else answer.asDict()
    counts = {name: int(found[name]) for name in ("total", "unknown", "early", "active", "missed")}
    left_out = LeftOut(**counts, unlisted={kind: int(found[kind]) for kind in kinds})

    def example() -> str:
        user = found["stranger"] is not None
        value = found["stranger" if user else "strange"]
        return f"{value!r} in interactions, column '{'user_id' if user else 'entity_id'}'"

    notes = left_out.notes(example)
    if not found["kept"]:
        raise left_out.nothing(notes)
    return notes


def _end(user_days: DataFrame, *, given: bool) -> int:
    """Last day of the logs; where the tables say who is warm, of warm users only."""
    active = user_days.where(f"kept > 0 AND {_WARM}" if given else "kept > 0")
    days = active.groupBy("day").count().toArrow()
    if not days.num_rows:
        return 0
    start, counts = _dense(days["day"], days["count"])
    return extent_of_counts(start, counts).last


def _dense(days: Any, counts: Any) -> tuple[int, HostArray]:
    """The first day that there is, and the counts of all days from it on."""
    places = np.asarray(days).astype(np.int64)
    start = int(places.min())
    return start, np.bincount(places - start, weights=np.asarray(counts)).astype(np.int64)


class _ByDay:
    """Events of each day from 1970 on, of warm users and of all.

    Attributes
    ----------
    warm : HostArray [days] of int64
        Events of warm users up to the end of the logs.
    """

    def __init__(self, counts: pa.Table, end: int):
        self._days = np.asarray(counts["day"]).astype(np.int64)
        self._warm = np.asarray(counts["warm"])
        self._rows = np.asarray(counts["rows"])
        self._streams = np.asarray(counts["streams"])
        self._end = end
        self.warm = self._dense(self._warm & (self._days <= end))

    @classmethod
    def of(cls, user_days: DataFrame, assigned: DataFrame, end: int) -> _ByDay:
        """Add up what users did, by the cohorts to which they were assigned."""
        joined = user_days.where("kept > 0").drop("cohort").join(assigned, "user")
        counts = joined.groupBy("day", expr(f"{_WARM} AS warm")).agg(
            expr("sum(kept) AS rows"), expr("sum(streams) AS streams")
        )
        return cls(counts.toArrow(), end)

    def strays(self, *, by_time: bool) -> HostArray:
        """Events after the end of the logs, of each day; of warm users, unless time splits."""
        late = self._days > self._end
        return self._dense(late if by_time else late & self._warm)

    def streamed(self, until: int) -> tuple[int, int]:
        """First and last day of the warm users' streams of tracks."""
        days = self._days[self._warm & (self._streams > 0) & (self._days <= until)]
        return (int(days.min()), int(days.max())) if len(days) else (0, 0)

    def _dense(self, mask: Any) -> HostArray:
        return np.bincount(self._days[mask], weights=self._rows[mask]).astype(np.int64)


def _are(action: str, *kinds: str) -> str:
    """SQL for events of one action on one kind of entity, or on some kinds."""
    codes = (event_code(ACTIONS.index(action), ENTITIES.index(kind)) for kind in kinds)
    return f"what IN ({', '.join(map(str, codes))})"


def _count(until: int, truth_days: int) -> str:
    """SQL for the events that something is made of: of a registration day, all; later, some."""
    warm = f"{_are('stream', 'track')} OR {_are('favorite', 'track', 'artist', 'album')}"
    judged = f"{_are('stream', 'track', 'playlist')} OR {_are('favorite', 'track', 'playlist')}"
    cold = f"cohort IN ({cohorts.VALIDATION}, {cohorts.TEST}) AND since <= {truth_days}"
    return (
        f"since >= 0 AND IF({_WARM}, day <= {until} AND (since = 0 OR {warm}), "
        f"since = 0 OR ({cold} AND ({judged})))"
    )


def _period(*days: int) -> str:
    """SQL for ``since``, where days alike to all of these periods, first days on, count as one."""
    since = "1"
    for last in sorted({each for each in days if each}):
        since = f"IF(since > {last}, {last + 1}, {since})"
    return f"IF(since <= 0, greatest(since, -1), {since})"


def _collect(engine: Engine, rows: DataFrame, *, since: str, day: str = "0") -> Events:
    """Events added up, on the engine.

    Parameters
    ----------
    since, day : str
        In SQL, what to tell of days.
    """
    keys = ("user", "day", "since", "what", "number")
    told = rows.selectExpr("user", f"{day} AS day", f"{since} AS since", "what", "number", "count")
    counted = told.groupBy(*keys).agg(expr("sum(count) AS count")).toArrow()
    types = (np.int32, np.int32, np.int32, np.int16, np.int32, np.float32)
    columns = (
        engine.asarray(np.asarray(counted[name]).astype(dtype))
        for name, dtype in zip((*keys, "count"), types, strict=True)
    )
    return Events(*columns)


def _all_known(
    engine: Engine, rows: DataFrame, since: str, last_day: int | None
) -> tuple[Events, list[str]]:
    """All events, those before registration included, as far as it takes to tell who lacks what."""
    day = "0" if last_day is None else f"IF(day <= {last_day}, {last_day}, {last_day + 1})"
    return _collect(engine, rows.withColumn("number", expr("0")), since=since, day=day), []
