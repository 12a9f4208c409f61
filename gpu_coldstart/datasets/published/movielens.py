"""MovieLens (Harper & Konstan 2015): films that people rated, from the day they joined on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.datasets.files import table_writers
from gpu_coldstart.datasets.published import Writers
from gpu_coldstart.datasets.published.files import Layout, constant, holds, read, text

__all__ = ["movielens_1m", "movielens_100k"]

_INT, _TEXT, _REAL = pa.int64(), pa.string(), pa.float64()
_RATINGS = {"user_id": _INT, "track_id": _INT, "rating": _REAL, "second": _REAL}

_DISLIKED = 2
"""Ratings up to this are skips, those above streams."""

_AGES = {1: 15, 18: 21, 25: 29, 35: 39, 45: 47, 50: 52, 56: 60}
"""Of the 1M set: the first year of a class, and about its middle."""

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
"""Of the 100K set, in the order of its flags."""


def movielens_1m(place: Path) -> Writers:
    """MovieLens 1M, by the data contract.

    A rating of 3 to 5 is a ``stream`` of the film, one of 1 or 2 a ``skip``; who rates first
    registers. A film has its title, and as ``genre`` the first of its genres. Ages are about the
    middle of their class. There are no countries, no artists and no playlists.

    Parameters
    ----------
    place : Path
        ``ml-1m.zip``, or the folder out of it, with ``ratings.dat``, ``users.dat``, ``movies.dat``.

    Raises
    ------
    UserError
        When a file is missing, damaged or of another layout.
    """
    ratings = read(place, Layout("ratings.dat", _RATINGS, "::"))
    known = {"user_id": _INT, "gender": _TEXT, "age": _INT, "occupation": _INT, "zip": _TEXT}
    users = read(place, Layout("users.dat", known, "::"))
    films = read(
        place,
        Layout(
            "movies.dat", {"track_id": _INT, "title": _TEXT, "genres": _TEXT}, "::", "", "latin1"
        ),
    )
    ages = pa.array(list(_AGES.values()))
    classes = pc.index_in(users["age"], pa.array(list(_AGES)))
    users = users.set_column(2, "age", ages.take(classes.combine_chunks()))
    return _tables(
        ratings, users, films, pc.list_element(pc.split_pattern(films["genres"], "|"), 0)
    )


def movielens_100k(place: Path) -> Writers:
    """MovieLens 100K, likewise; ages are in years.

    Parameters
    ----------
    place : Path
        ``ml-100k.zip`` or its folder, with ``u.data``, ``u.user`` and ``u.item``; or the copy of it
        that comes in the wheel of the package ``recbole``, as a wheel or unpacked.

    Raises
    ------
    UserError
        When a file is missing, damaged or of another layout.
    """
    if holds(place, "ml-100k.inter"):
        return _of_recbole(place)
    ratings = read(place, Layout("u.data", _RATINGS))
    known = {"user_id": _INT, "age": _INT, "gender": _TEXT, "occupation": _TEXT, "zip": _TEXT}
    users = read(place, Layout("u.user", known, "|"))
    flags = dict.fromkeys(_GENRES, _INT)
    texts = dict.fromkeys(("title", "released", "video", "imdb"), _TEXT)
    films = read(place, Layout("u.item", {"track_id": _INT, **texts, **flags}, "|", "", "latin1"))
    genre = pc.coalesce(
        *(
            pc.if_else(pc.equal(films[name], 1), pa.scalar(name), pa.scalar(None, _TEXT))
            for name in _GENRES
        )
    )
    return _tables(ratings, users, films, genre)


def _of_recbole(place: Path) -> Writers:
    """The 100K set with the headers that RecBole gives it."""
    ratings = read(
        place,
        Layout(
            "ml-100k.inter",
            _RATINGS,
            header="user_id:token\titem_id:token\trating:float\ttimestamp:float",
        ),
    )
    users = read(
        place,
        Layout(
            "ml-100k.user",
            {"user_id": _INT, "age": _INT, "gender": _TEXT, "occupation": _TEXT, "zip": _TEXT},
            header="user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
        ),
    )
    films = read(
        place,
        Layout(
            "ml-100k.item",
            {"track_id": _INT, "title": _TEXT, "year": _TEXT, "genres": _TEXT},
            header="item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        ),
    )
    return _tables(
        ratings, users, films, pc.list_element(pc.split_pattern(films["genres"], " "), 0)
    )


def _tables(ratings: pa.Table, users: pa.Table, films: pa.Table, genre: pa.ChunkedArray) -> Writers:
    moment = pc.multiply(ratings["second"], 1e6).cast(_INT).cast(pa.timestamp("us"))
    liked = pc.greater(ratings["rating"], _DISLIKED)
    interactions = pa.table(
        {
            "user_id": ratings["user_id"],
            "timestamp": moment,
            "action": pc.if_else(liked, "stream", "skip").cast(pa.dictionary(pa.int8(), _TEXT)),
            "entity": constant("track", ratings.num_rows),
            "entity_id": ratings["track_id"],
        }
    )
    first = interactions.group_by("user_id").aggregate([("timestamp", "min")])
    first = first.rename_columns({"timestamp_min": "registered_at"})
    return table_writers(
        {
            "users": first.join(users.select(["user_id", "age"]), "user_id").sort_by("user_id"),
            "tracks": films.select(["track_id", "title"])
            .append_column("genre", text(genre))
            .sort_by("track_id"),
            "interactions": interactions,
        }
    )
