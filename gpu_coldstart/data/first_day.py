"""Registration days as tables again, of users that are indexed: the inverse of indexing them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import sparse

from gpu_coldstart.data.ids import as_text
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SIGNALS, signal_place
from gpu_coldstart.engine.base import Csr, Engine

__all__ = ["first_day", "on_host"]


def first_day(engine: Engine, logs: Logs, cohort: str) -> tuple[pa.Table, pa.Table]:
    """What is known of the users of a cohort by the end of the day they registered.

    Parameters
    ----------
    cohort : str
        One of :data:`gpu_coldstart.data.tables.SPLITS`.

    Returns
    -------
    users : pyarrow.Table
        ``user_id``, ``age``, ``country``, in the order of the logs.
    interactions : pyarrow.Table
        ``user_id``, ``action``, ``entity``, ``entity_id``, ``count``: all that they did that day,
        a row for each user, action and entity.
    """
    host, who = engine.to_host, logs.users(cohort)
    ids = logs.ids.names("user", host(logs.user_ids[who]))
    age, code = host(logs.age[who]), host(logs.country[who])
    users = {
        "user_id": ids,
        "age": pa.array(np.nan_to_num(age).astype(np.int64), mask=np.isnan(age)),
        "country": pa.array(logs.countries, pa.string()).take(pa.array(code, mask=code < 0)),
    }
    rows = engine.xp.arange(who.start * len(SIGNALS), who.stop * len(SIGNALS))
    events = on_host(engine, engine.take_rows(logs.registration, rows)).astype(np.int64)
    members = on_host(engine, logs.members).astype(np.int64)
    parts = [_events(engine, logs, events, members, place) for place in range(len(SIGNALS))]
    texts = any(pa.types.is_string(part["entity_id"].type) for part in parts)
    if texts:  # the integers of the other kinds are their digits then
        for part in parts:
            part["entity_id"] = as_text(part["entity_id"])
    interactions = pa.concat_tables([pa.table(part) for part in parts]).combine_chunks()
    places = interactions.column_names.index("user_id")
    named = ids.take(interactions["user_id"].combine_chunks())
    return pa.table(users), interactions.set_column(places, "user_id", named)


def on_host(engine: Engine, matrix: Csr) -> sparse.csr_array:
    """A sparse matrix as SciPy has it."""
    parts = tuple(map(engine.to_host, (matrix.data, matrix.indices, matrix.indptr)))
    return sparse.csr_array(parts, shape=matrix.shape)


def _events(
    engine: Engine, logs: Logs, events: sparse.csr_array, members: sparse.csr_array, place: int
) -> dict[str, pa.Array]:
    """What the users did by one signal; ``user_id`` is a user's place among them."""
    signal = SIGNALS[place]
    span, codes = {
        "track": (slice(logs.n_tracks), logs.track_ids),
        "artist": (logs.artists, logs.artist_ids),
        "album": (logs.albums, logs.album_ids),
        "playlist": (logs.playlists, logs.playlist_ids),
    }[signal.entity]
    done = events[place :: len(SIGNALS)][:, span]
    if signal.follows_tracks:  # what was done to tracks was counted here, too
        (name,) = (s.name for s in SIGNALS if (s.action, s.entity) == (signal.action, "track"))
        tracks = events[signal_place(name) :: len(SIGNALS)][:, : logs.n_tracks]
        done = done - tracks @ members[span].T
    user, entity, count = sparse.find(done)
    return {
        "user_id": pa.array(user),
        "action": pa.array([signal.action] * len(user), pa.string()),
        "entity": pa.array([signal.entity] * len(user), pa.string()),
        "entity_id": logs.ids.names(signal.entity, engine.to_host(codes)[entity]),
        "count": pa.array(count, pa.int64()),
    }
