"""What may be done to events that come too late to be known of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.runs.helpers import Tables, column, members, registration_days

__all__ = ["Row", "add_everything", "add_streams", "alter", "delete_most", "is_stream", "later"]

Row = dict[str, Any]


def later(tables: Tables, split: str) -> Callable[[Row], bool]:
    """Whether an event of a user of the split comes after registration day."""
    users, ends = members(tables["users"], split), registration_days(tables["users"])
    return lambda row: row["user_id"] in users and row["timestamp"] >= ends[row["user_id"]]


def is_stream(row: Row) -> bool:
    return (row["action"], row["entity"]) == ("stream", "track")


def delete_most(rows: list[Row], chosen: Callable[[Row], bool], tables: Tables) -> list[Row]:
    """Leave each user one later stream, without which they would not count at all."""
    left, first = [], set()
    for row in rows:
        if not chosen(row):
            left.append(row)
        elif is_stream(row) and row["user_id"] not in first:
            first.add(row["user_id"])
            left.append(row)
    return left


def add_streams(rows: list[Row], chosen: Callable[[Row], bool], tables: Tables) -> list[Row]:
    """Later streams of every track of the catalogue, in great numbers."""
    ends = registration_days(tables["users"])
    users = sorted({row["user_id"] for row in rows if chosen(row)})
    tracks = column(tables["tracks"], "track_id")
    more = [
        {
            "user_id": user,
            "timestamp": ends[user] + timedelta(days=place % 29, hours=1),
            "action": "stream",
            "entity": "track",
            "entity_id": track,
            "count": 1000 + place,
        }
        for user in users
        for place, track in enumerate(tracks[::3])
    ]
    return rows + more


EVENT = ("user_id", "timestamp", "action", "entity", "entity_id", "count")


def add_everything(rows: list[Row], chosen: Callable[[Row], bool], tables: Tables) -> list[Row]:
    """Later events of every other kind, and streams so late that they are no truth either."""
    ends = registration_days(tables["users"])
    track, artist, album = (
        column(tables["tracks"], name)[0] for name in ("track_id", "artist_id", "album_id")
    )
    playlist = column(tables["playlists"], "playlist_id")[0]
    ids = {"track": track, "artist": artist, "album": album, "playlist": playlist}
    last = max(row["timestamp"] for row in rows)
    more = []
    for user in sorted({row["user_id"] for row in rows if chosen(row)}):
        for action in ("skip", "favorite", "ban", "search", "onboarding"):
            for entity, entity_id in ids.items():
                day = min(ends[user] + timedelta(minutes=1), last)
                values = (user, day, action, entity, entity_id, 9)
                more.append(dict(zip(EVENT, values, strict=True)))
        values = (user, min(ends[user], last), "stream", "playlist", playlist, 9)
        more.append(dict(zip(EVENT, values, strict=True)))
    # One change that the truth must show, so that the comparison is known to see something.
    return add_streams(rows, chosen, tables) + more


def alter(rows: list[Row], chosen: Callable[[Row], bool], tables: Tables) -> list[Row]:
    """Another track, another time, another number."""
    tracks = column(tables["tracks"], "track_id")
    turned = dict(zip(tracks, tracks[1:] + tracks[:1], strict=True))
    return [
        {
            **row,
            "entity_id": turned[row["entity_id"]],
            "timestamp": row["timestamp"] + timedelta(seconds=1),
            "count": row["count"] + 3,
        }
        if chosen(row) and is_stream(row)
        else row
        for row in rows
    ]
