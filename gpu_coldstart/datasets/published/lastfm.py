"""Last.fm-1K (Celma 2010): all that some 1000 people played, with their country, age and signup."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.datasets.files import table_writers
from gpu_coldstart.datasets.published import Writers
from gpu_coldstart.datasets.published.files import Layout, constant, read, text
from gpu_coldstart.errors import UserError

__all__ = ["lastfm_1k"]

_TEXT = pa.string()
_PLAYS = Layout(
    "userid-timestamp-artid-artname-traid-traname.tsv",
    {
        "user_id": _TEXT,
        "timestamp": pa.timestamp("s", "UTC"),
        **dict.fromkeys(("artist", "artist_name", "track", "title"), _TEXT),
    },
)
_PEOPLE = Layout(
    "userid-profile.tsv",
    {"user_id": _TEXT, "gender": _TEXT, "age": pa.int64(), "country": _TEXT, "signup": _TEXT},
    header="#id\tgender\tage\tcountry\tregistered",
)


def lastfm_1k(place: Path) -> Writers:
    """Last.fm-1K, by the data contract.

    A play is a ``stream`` of a track. Tracks and artists are known by their MusicBrainz id, or else
    by name; plays without id and name of the track are left out. Users registered on the day of
    their signup or, if that is earlier or the only one known, of their first play.
    There are no albums, genres, skips or playlists.

    Parameters
    ----------
    place : Path
        ``lastfm-dataset-1K.tar.gz``, or the folder out of it.

    Raises
    ------
    UserError
        When a file is missing, damaged or of another layout.
    """
    plays = read(place, _PLAYS)
    plays = plays.filter(pc.or_(pc.not_equal(plays["track"], ""), pc.not_equal(plays["title"], "")))
    named = pc.binary_join_element_wise(plays["artist_name"], plays["title"], " \N{EN DASH} ")
    track = _either(plays["track"], named).dictionary_encode()
    interactions = pa.table(
        {
            "user_id": plays["user_id"].dictionary_encode(),
            "timestamp": plays["timestamp"],
            "action": constant("stream", plays.num_rows),
            "entity": constant("track", plays.num_rows),
            "entity_id": track,
        }
    )
    about = {
        "track_id": track.cast(_TEXT),
        "artist_id": text(_either(plays["artist"], plays["artist_name"])),
        "title": text(plays["title"]),
        "artist_name": text(plays["artist_name"]),
    }
    first = pa.table(about).group_by("track_id", use_threads=False)
    tracks = first.aggregate([(name, "first") for name in about if name != "track_id"])
    tracks = tracks.rename_columns([name.removesuffix("_first") for name in tracks.column_names])
    return table_writers(
        {
            "users": _users(plays, read(place, _PEOPLE), place),
            "tracks": tracks,
            "interactions": interactions,
        }
    )


def _either(ids: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(ids, ""), names, ids)


def _users(plays: pa.Table, people: pa.Table, place: Path) -> pa.Table:
    signup = pc.strptime(text(people["signup"]), "%b %d, %Y", "s", error_is_null=True)
    wrong = pc.and_(signup.is_null(), pc.not_equal(people["signup"], ""))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise UserError(
            f"{place}, {_PEOPLE.name}, column 'registered', row {row} is "
            f"{people['signup'][row].as_py()!r}, which is no date such as 'Aug 13, 2006': mend it"
        )
    known = pa.table(
        {
            "user_id": people["user_id"],
            "signup": signup.cast(pa.timestamp("s", "UTC")),
            "country": text(people["country"]),
            "age": people["age"],
        }
    )
    users = plays.group_by("user_id").aggregate([("timestamp", "min")]).join(known, "user_id")
    first, signup = users["timestamp_min"], users["signup"]
    before = pc.fill_null(pc.less(signup, first), fill_value=False)
    users = users.append_column("registered_at", pc.if_else(before, signup, first))
    return users.select(["user_id", "registered_at", "country", "age"]).sort_by("user_id")
