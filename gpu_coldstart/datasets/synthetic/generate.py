"""A made-up streaming service, from whole cloth, in the tables of the data contract.

The world is built so that the strategies face what they face on a real service, and it is built
from causes only: nothing in it knows how recommendations are made.

Music comes in scenes: each genre has an international scene, and each country has scenes of
its own in some of the genres. A scene has an age at which it appeals most, and falls into
moods; an artist belongs to one mood. Popularity follows Zipf's law within a scene.

A user's country and age explain most of the taste for scenes; the rest is personal: a leaning
to genres, scenes and moods, and a few favourite artists. People stream partly what everybody
streams (the charts of the world and of their country), partly what is big in their scenes,
partly what fits their moods, partly their favourite artists. So a group of similar people
agrees on its hits, while two tracks of the same mood may differ a hundredfold in plays.

Playlists are thematic: most collect a mood, and pick tracks with little regard for their
popularity. What co-occurs in playlists is therefore alike, but need not be popular.

Warm users registered in the year before the cold week and have a history that ends before it.
Cold users register during that week. Both have a registration day with the same kinds of
signals: streams, favourites, searches, artists liked while onboarding, and skips and bans of
what suits others of their country and age, but not them. After it, cold users stream, and make
some tracks and playlists favourites; warm users only stream.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from gpu_coldstart.datasets.synthetic.catalogue import (
    Catalogue,
    Ints,
    Playlists,
    draw_ids,
    make_catalogue,
    make_playlists,
)
from gpu_coldstart.datasets.synthetic.events import ACTIONS, ENTITIES, Events, make_events
from gpu_coldstart.datasets.synthetic.taste import People, make_people
from gpu_coldstart.datasets.synthetic.world import COUNTRIES, GENRES, World
from gpu_coldstart.errors import UserError

__all__ = ["generate"]

_MOMENT = pa.timestamp("us", tz="UTC")


def generate(world: World, seed: int) -> dict[str, pa.Table]:
    """Make the tables of a synthetic world.

    Parameters
    ----------
    world : World
        The knobs.
    seed : int
        Source of chance, 0 or more. The same world and seed give the same tables, bit for bit.

    Returns
    -------
    dict of str to pyarrow.Table
        ``users``, ``tracks``, ``interactions`` and ``playlists`` as the data contract has
        them, rows in random order, ids without meaning. Interactions have a row per user, day,
        action and entity with a ``count``.

    Raises
    ------
    UserError
        If the seed is negative.

    Examples
    --------
    >>> from gpu_coldstart.datasets.synthetic.world import PRESETS
    >>> sorted(generate(PRESETS["tiny"], seed=0))
    ['interactions', 'playlists', 'tracks', 'users']
    """
    if seed < 0:
        raise UserError(f"the seed is {seed}: give 0 or more")
    catalogue = make_catalogue(world, np.random.default_rng([seed, 0]))
    people = make_people(world, np.random.default_rng([seed, 1]), catalogue)
    playlists = make_playlists(world, np.random.default_rng([seed, 2]), catalogue)
    events = make_events(world, seed, catalogue, people, playlists)
    rng = np.random.default_rng([seed, 5])
    user_id = draw_ids(rng, people.country.size)
    return {
        "users": _users_table(world, rng, people, user_id),
        "tracks": _tracks_table(rng, catalogue),
        "interactions": _interactions_table(events, user_id),
        "playlists": _playlists_table(rng, catalogue, playlists),
    }


def _coded(codes: np.ndarray, names: tuple[str, ...]) -> pa.DictionaryArray:
    """Strings by their position in `names`, an array of integers or a masked one."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))


def _users_table(world: World, rng: np.random.Generator, people: People, ids: Ints) -> pa.Table:
    """The users, in random order."""
    order = rng.permutation(ids.size)
    split = np.repeat(np.arange(3), (world.n_warm, world.n_validation, world.n_test))
    country = pa.array(people.country[order].astype(np.int8), mask=~people.knows_country[order])
    age = pa.array(people.age[order].astype(np.int16), mask=~people.knows_age[order])
    return pa.table(
        {
            "user_id": ids[order],
            "registered_at": pa.array(people.registered[order]).cast(_MOMENT),
            "country": pa.DictionaryArray.from_arrays(country, pa.array(COUNTRIES)),
            "age": age,
            "split": _coded(split[order].astype(np.int8), ("warm", "validation", "test")),
        }
    )


def _tracks_table(rng: np.random.Generator, catalogue: Catalogue) -> pa.Table:
    """The tracks, in random order."""
    order = rng.permutation(catalogue.scene.size)
    genre = catalogue.scenes.genre[catalogue.scene[order]]
    return pa.table(
        {
            "track_id": catalogue.track_id[order],
            "artist_id": catalogue.artist_id[catalogue.artist[order]],
            "album_id": catalogue.album_id[catalogue.album[order]],
            "genre": _coded(genre.astype(np.int8), GENRES),
        }
    )


def _interactions_table(events: Events, user_id: Ints) -> pa.Table:
    """The interactions, in the order of `events`."""
    return pa.table(
        {
            "user_id": user_id[events.user],
            "timestamp": pa.array(events.timestamp).cast(_MOMENT),
            "action": _coded(events.action, ACTIONS),
            "entity": _coded(events.entity, ENTITIES),
            "entity_id": events.entity_id,
            "count": events.count,
        }
    )


def _playlists_table(
    rng: np.random.Generator, catalogue: Catalogue, playlists: Playlists
) -> pa.Table:
    """The playlists, rows in random order."""
    order = rng.permutation(playlists.track.size)
    return pa.table(
        {
            "playlist_id": playlists.playlist_id[playlists.playlist[order]],
            "track_id": catalogue.track_id[playlists.track[order]],
            "position": playlists.position[order].astype(np.int32),
        }
    )
