"""What is known of users by the end of the day they register (3.2.2): all the method may ask."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.contract import ACTIONS, ENTITIES
from gpu_coldstart.data.events import Events
from gpu_coldstart.data.signals import SIGNALS, signal_place
from gpu_coldstart.engine.base import Array, Column, Csr, Engine

__all__ = ["Registrations", "ages", "registration_matrix", "signal_counts"]


@dataclass(frozen=True)
class Registrations:
    """Some users, indexed with the data set or seen for the first time.

    Attributes
    ----------
    age : Array [users] of float32
        Years; NaN where unknown.
    country : Array [users] of int32
        Index into the countries of the data set that the method was fitted on; -1 where unknown.
    events : Csr [users * 18, entities]
        Events of the registration day: row ``18 * user + signal``, in the order of
        :data:`gpu_coldstart.data.signals.SIGNALS`. Tracks are the first entities.
    signals : Array [users, 18] of float32
        Events of each signal.
    """

    age: Array
    country: Array
    events: Csr
    signals: Array

    def __len__(self) -> int:
        """Number of users."""
        return int(self.age.shape[0])

    def first(self, n: int) -> Registrations:
        """The first ``n`` users."""
        stop = n * len(SIGNALS)
        indptr = self.events.indptr[: stop + 1]
        entries_kept = int(indptr[-1])
        events = Csr(
            indptr,
            self.events.indices[:entries_kept],
            self.events.data[:entries_kept],
            (stop, self.events.shape[1]),
        )
        return Registrations(self.age[:n], self.country[:n], events, self.signals[:n])

    def streamed(self, engine: Engine, users: Array, n_tracks: int) -> Csr:
        """Tracks that ``users`` [n] streamed that day [n, tracks], by number of events."""
        places = users * len(SIGNALS) + signal_place("streamed_songs")
        rows = engine.take_rows(self.events, places)
        return Csr(rows.indptr, rows.indices, rows.data, (rows.shape[0], n_tracks))


def ages(engine: Engine, column: Column | None, n: int) -> Array:
    """Ages [n] of float32, in years; NaN where unknown."""
    xp = engine.xp
    if column is None:
        return xp.full(n, xp.nan, dtype=xp.float32)
    age = column.values.astype(xp.float32)
    return age if column.valid is None else xp.where(column.valid, age, xp.float32(xp.nan))


def _places(kind: str) -> list[int]:
    """Of each code of action and entity, the signal that such events count for; -1 for none.

    Parameters
    ----------
    kind : str
        ``"artist"`` or ``"album"`` for events with tracks that count for the track's, else any
        event for its own entity.
    """
    places = {(signal.action, signal.entity): place for place, signal in enumerate(SIGNALS)}
    if kind != "itself":
        places = {
            (signal.action, "track"): place
            for place, signal in enumerate(SIGNALS)
            if signal.follows_tracks and signal.entity == kind
        }
    return [places.get((action, entity), -1) for action in ACTIONS for entity in ENTITIES]


_PLACES = {kind: _places(kind) for kind in ("itself", "artist", "album")}


def registration_matrix(
    engine: Engine, events: Events, owners: dict[str, Array], shape: tuple[int, int]
) -> Csr:
    """Registration-day events by (user, signal) and entity.

    Streaming, skipping or banning a track also counts for its artist and album.

    Parameters
    ----------
    events : Events
        Of the registration day.
    owners : dict of ``"artist"`` and ``"album"`` to Array [tracks] of int32
        Entity number of each track's artist and album; -1 where it has none.
    shape : (users, entities)
    """
    xp = engine.xp
    rows, columns, counts = [], [], []
    for kind, places in _PLACES.items():
        place = xp.asarray(places, dtype=xp.int8)[events.what]
        those = xp.flatnonzero(place >= 0)
        entity = events.entity[those]
        if kind in owners:
            entity = owners[kind][entity]
            owned = xp.flatnonzero(entity >= 0)
            those, entity = those[owned], entity[owned]
        rows.append(events.user[those].astype(xp.int64) * len(SIGNALS) + place[those])
        columns.append(entity)
        counts.append(events.count[those])
    return engine.csr(
        xp.concatenate(rows),
        xp.concatenate(columns),
        xp.concatenate(counts),
        (shape[0] * len(SIGNALS), shape[1]),
    )


def signal_counts(engine: Engine, events: Csr) -> Array:
    """Events of each signal [users, 18] of float32, from :attr:`Registrations.events`."""
    xp = engine.xp
    rows, _ = entries(engine, events)
    counts = xp.bincount(rows, weights=events.data, minlength=events.shape[0])
    return counts.reshape(-1, len(SIGNALS)).astype(xp.float32)
