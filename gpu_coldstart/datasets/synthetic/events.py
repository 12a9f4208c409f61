"""What the users of the synthetic world do: their registration day, and what comes after it.

Users are taken in blocks of a fixed size, each with its own generator, so that memory stays
bounded whatever the world's size and no block depends on another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_coldstart.datasets.synthetic.catalogue import Catalogue, Ints, Playlists
from gpu_coldstart.datasets.synthetic.taste import DAY, People, Taste, make_taste
from gpu_coldstart.datasets.synthetic.world import World

__all__ = ["ACTIONS", "ENTITIES", "Events", "make_events"]

ACTIONS = ("stream", "skip", "favorite", "ban", "search", "onboarding")
ENTITIES = ("track", "artist", "album", "playlist")

_STREAM, _SKIP, _FAVORITE, _BAN, _SEARCH, _ONBOARDING = range(6)
_TRACK, _ARTIST, _ALBUM, _PLAYLIST = range(4)
_BLOCK = 4096  # users
_PATIENCE = 20.0  # draws for each distinct track wanted


@dataclass(frozen=True)
class Events:
    """Rows of the interactions table, all arrays of shape [rows].

    Attributes
    ----------
    user : array of int32
        User, numbered from 0.
    timestamp : array of int64
        Microseconds since 1970-01-01 UTC.
    action, entity : array of int8
        Positions in `ACTIONS` and `ENTITIES`.
    entity_id : array of int64
        The id that leaves the generator.
    count : array of int32
        How many times on that day, at least 1.
    """

    user: npt.NDArray[np.int32]
    timestamp: Ints
    action: npt.NDArray[np.int8]
    entity: npt.NDArray[np.int8]
    entity_id: Ints
    count: npt.NDArray[np.int32]

    @staticmethod
    def join(parts: list[Events]) -> Events:
        """Put the rows of `parts` under one another."""
        names = ("user", "timestamp", "action", "entity", "entity_id", "count")
        return Events(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def take(self, rows: npt.NDArray[Any]) -> Events:
        """Rows in the order of `rows`, an index or a permutation."""
        return Events(**{name: values[rows] for name, values in vars(self).items()})


def _rows(
    what: tuple[int, int], user: Ints, timestamp: Ints, entity_id: Ints, count: Ints
) -> Events:
    """Rows of one action on one kind of entity, `what`."""
    action, entity = what
    return Events(
        user=user.astype(np.int32),
        timestamp=timestamp,
        action=np.full(user.size, action, dtype=np.int8),
        entity=np.full(user.size, entity, dtype=np.int8),
        entity_id=entity_id,
        count=count.astype(np.int32),
    )


def _distinct(user: Ints, item: Ints) -> tuple[Ints, Ints, Ints]:
    """Pairs (user, item) once each, in order of first appearance, and how often each came.

    `user` is non-decreasing, and so is the user of the answer.
    """
    span = int(item.max(initial=0)) + 1
    key, first, count = np.unique(user * span + item, return_index=True, return_counts=True)
    order = np.argsort(first)
    return key[order] // span, key[order] % span, count[order]


def _history(rng: np.random.Generator, taste: Taste, want: Ints) -> tuple[Ints, Ints, Ints]:
    """Draw streams until each user of the block has the wanted number of distinct tracks.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    taste : Taste
        Tastes of the block.
    want : array of int64, shape [block]
        Distinct tracks of each user.

    Returns
    -------
    tuple of three arrays of int64, shape [want.sum()]
        User, track and number of streams.
    """
    done: list[tuple[Ints, Ints, Ints]] = []
    left = np.arange(want.size)
    factor = 1.5
    while left.size:
        draws = np.zeros(want.size, dtype=np.int64)
        draws[left] = np.ceil(want[left] * factor).astype(np.int64)
        user = np.repeat(np.arange(want.size), draws)
        track = taste.draw(rng, user)
        if factor > _PATIENCE:  # a taste too narrow for so many tracks: let them wander
            wander = np.flatnonzero(rng.random(track.size) < 0.5)
            track[wander] = rng.integers(0, taste.catalogue.scene.size, size=wander.size)
        user, track, count = _distinct(user, track)
        start = np.searchsorted(user, np.arange(want.size + 1))
        enough = np.diff(start) >= want
        enough[draws == 0] = False
        kept = enough[user] & (np.arange(user.size) - start[user] < want[user])
        done.append((user[kept], track[kept], count[kept]))
        left = left[~enough[left]]
        factor *= 2.0
    return (
        np.concatenate([part[0] for part in done]),
        np.concatenate([part[1] for part in done]),
        np.concatenate([part[2] for part in done]),
    )


def _history_events(
    world: World,
    rng: np.random.Generator,
    crowd: tuple[People, Ints],
    taste: Taste,
) -> Events:
    """Streams after the registration day: 30 days of cold users, all history of warm ones.

    A track that came more than three times in the draw is spread over two days. The days of warm
    users thin out with time since registration and end before the cold week.
    """
    people, block = crowd
    warm = people.warm[block]
    least = np.where(warm, world.warm_tracks_min, world.cold_tracks_min)
    mean = np.where(warm, world.warm_tracks_mean, world.cold_tracks_mean)
    extra = rng.gamma(1.5, np.maximum(mean - least, 0.0) / 1.5)
    most = taste.catalogue.scene.size // 2
    want = np.minimum(np.rint(least + extra).astype(np.int64), most)
    user, track, count = _history(rng, taste, want)
    today = people.registered[block] // DAY
    cold_week = int(np.datetime64(world.cold_week, "D").astype(np.int64))
    days = np.where(warm, cold_week - 1 - today, 30)
    place = (days[user] * rng.random(user.size) ** 1.5).astype(np.int64)
    again = np.flatnonzero(count > 3)
    later = count[again] // 2
    count[again] -= later
    span = days[user[again]]
    # One to span - 1 days on, round the end: never the same day.
    shift = 1 + (rng.random(again.size) * (span - 1)).astype(np.int64)
    place = np.concatenate([place, (place[again] + shift) % span])
    user = np.concatenate([user, user[again]])
    track = np.concatenate([track, track[again]])
    count = np.concatenate([count, later])
    day = today[user] + 1 + place
    moment = day * DAY + (rng.beta(2.0, 1.5, user.size) * (DAY - 1)).astype(np.int64)
    ids = taste.catalogue.track_id[track]
    return _rows((_STREAM, _TRACK), block[user], moment, ids, count)


def _day_counts(
    world: World, rng: np.random.Generator, people: People, block: Ints
) -> dict[tuple[int, int], Ints]:
    """How often each user of the block does what to what on the registration day.

    Returns
    -------
    dict of (action, entity) to array of int64, shape [block]
        Interactions; none for silent users, at least one for all others, at least one stream
        for those who stream, skips and bans in the wanted share.
    """
    silent, streams = people.silent[block], people.streams[block]
    active = people.activity[block]
    counts = {
        (_STREAM, _TRACK): np.where(
            streams, 1 + rng.poisson(active * (world.day_streams - 1.0)), 0
        ),
        (_ONBOARDING, _ARTIST): rng.poisson(
            world.day_onboarding * rng.gamma(0.7, 1.0 / 0.7, block.size)
        ),
    }
    for action, rates in ((_FAVORITE, world.day_favorites), (_SEARCH, world.day_searches)):
        for entity, rate in enumerate(rates):
            counts[action, entity] = rng.poisson(active * rate)
    for values in counts.values():
        values[silent] = 0
    nothing = np.sum(list(counts.values()), axis=0) == 0
    counts[_ONBOARDING, _ARTIST][nothing & ~silent] = 1
    # Only users who stream can skip; a higher rate makes up for those who do not.
    given = np.sum(list(counts.values()), axis=0)
    ratio = world.share_negative / (1.0 - world.share_negative)
    ratio *= given.sum() / max(int(given[streams].sum()), 1)
    mood = rng.gamma(1.5, 1.0 / 1.5, block.size)
    against = np.where(streams, rng.poisson(ratio * given * mood), 0)
    bans = rng.binomial(against, world.ban_share)
    counts[_SKIP, _TRACK] = against - bans
    left = bans
    for entity, share in ((_ARTIST, 0.3), (_ALBUM, 0.15)):
        counts[_BAN, entity] = rng.binomial(left, share)
        left = left - counts[_BAN, entity]
    counts[_BAN, _TRACK] = left
    return counts


def _playlist_of(rng: np.random.Generator, playlists: Playlists, mood: Ints) -> Ints:
    """Draw a playlist that suits each mood, shape [n]; a neighbouring mood's if it has none."""
    start = playlists.mood_start
    spread = start[mood + 1] - start[mood]
    place = start[mood] + (rng.random(mood.size) * spread).astype(np.int64)
    return np.minimum(place, playlists.playlist_id.size - 1)


def _draw_item(
    world: World, rng: np.random.Generator, taste: Taste, what: tuple[int, int], user: Ints
) -> Ints:
    """Draw what each user of `user`, shape [n], does the action of `what` to: a number each."""
    action, entity = what
    if action in (_SKIP, _BAN):
        track = taste.draw_disliked(rng, user)
    elif action == _STREAM:
        track = taste.draw(rng, user)
    elif action == _ONBOARDING:
        # The service offers who is known in a scene.
        track = taste.draw(rng, user, np.array([0.0, 0.0, 1.0, 1.0]))
    else:
        # Favourites and searches are what the user came for: no charts, and idols twice.
        scene, loyal = world.share_scene, min(2 * world.share_loyal, 1 - world.share_scene)
        track = taste.draw(rng, user, np.array([0.0, 0.0, scene, scene + loyal]))
    by_entity = {_ARTIST: taste.catalogue.artist, _ALBUM: taste.catalogue.album}
    return by_entity[entity][track] if entity in by_entity else track


def _day_events(
    world: World,
    rng: np.random.Generator,
    crowd: tuple[People, Ints],
    taste: Taste,
    playlists: Playlists,
) -> Events:
    """Everything that the users of the block do on their registration day."""
    people, block = crowd
    cat = taste.catalogue
    ids = (cat.track_id, cat.artist_id, cat.album_id, playlists.playlist_id)
    parts = []
    for what, number in _day_counts(world, rng, people, block).items():
        action, entity = what
        user = np.repeat(np.arange(block.size), number)
        if entity == _PLAYLIST:
            item = _playlist_of(rng, playlists, taste.draw_mood(rng, user))
        else:
            item = _draw_item(world, rng, taste, what, user)
        user, item, count = _distinct(user, item)
        if action not in (_STREAM, _SKIP, _SEARCH):
            count[:] = 1  # nobody likes or bans the same thing twice
        moment = people.registered[block[user]]
        midnight = (moment // DAY + 1) * DAY
        moment = moment + (rng.random(user.size) * (midnight - moment)).astype(np.int64)
        parts.append(_rows(what, block[user], moment, ids[entity][item], count))
    return Events.join(parts)


def _later_favorites(
    world: World,
    rng: np.random.Generator,
    crowd: tuple[People, Ints],
    taste: Taste,
    *,
    playlists: Playlists,
    streams: Events,
) -> Events:
    """Favourites of the block's cold users on days 1 to 30: tracks they stream, and playlists.

    A track becomes one on a day of its own streams, a playlist of one of the user's moods on a day
    of any; both whether or not they became one on the registration day. Warm users make none.

    Parameters
    ----------
    streams : Events
        The block's streams after the registration day.
    """
    people, block = crowd
    user = np.searchsorted(block, streams.user)
    by_user = np.argsort(user, kind="stable")
    start = np.searchsorted(user[by_user], np.arange(block.size + 1))
    track, number = np.unique(streams.entity_id, return_inverse=True)
    ids = {_TRACK: track, _PLAYLIST: playlists.playlist_id}
    parts = []
    for entity, rate in zip(ids, world.later_favorites, strict=True):
        wanted = np.where(people.warm[block], 0, rng.poisson(rate * people.activity[block]))
        fan = np.repeat(np.arange(block.size), wanted)
        spread = np.diff(start)[fan]
        row = by_user[start[fan] + (rng.random(fan.size) * spread).astype(np.int64)]
        if entity == _TRACK:
            item = number[row]
        else:
            item = _playlist_of(rng, playlists, taste.draw_mood(rng, fan))
        once = np.unique(fan * ids[entity].size + item, return_index=True)[1]
        parts.append(
            _rows(
                (_FAVORITE, entity),
                block[fan[once]],
                streams.timestamp[row[once]],
                ids[entity][item[once]],
                np.ones(once.size, dtype=np.int64),
            )
        )
    return Events.join(parts)


def _scattered(rng: np.random.Generator, events: Events, more: Events) -> Events:
    """Rows of `more` put at random places between those of `events`, whose order stays."""
    rows, others = events.user.size, more.user.size
    # Both runs ascend, so that sorting is merging.
    place = np.concatenate([np.arange(rows), np.sort(rng.random(others)) * rows])
    shuffled = more.take(rng.permutation(others))
    return Events.join([events, shuffled]).take(np.argsort(place, kind="stable"))


def make_events(
    world: World, seed: int, catalogue: Catalogue, people: People, playlists: Playlists
) -> Events:
    """Draw all interactions.

    Parameters
    ----------
    world : World
        The knobs.
    seed : int
        Source of chance; each block of users takes its own generator from it.
    catalogue : Catalogue
        The tracks.
    people : People
        The users.
    playlists : Playlists
        The playlists.

    Returns
    -------
    Events
        In random order.
    """
    parts, later = [], []
    n = people.country.size
    for number, begin in enumerate(range(0, n, _BLOCK)):
        rng = np.random.default_rng([seed, 3, number])
        block = np.arange(begin, min(begin + _BLOCK, n))
        taste = make_taste(world, rng, catalogue, people.country[block], people.age[block])
        parts.append(_day_events(world, rng, (people, block), taste, playlists))
        parts.append(_history_events(world, rng, (people, block), taste))
        # A generator of its own, without which all else is as it would be.
        rng = np.random.default_rng([seed, 6, number])
        crowd = (people, block)
        later.append(
            _later_favorites(world, rng, crowd, taste, playlists=playlists, streams=parts[-1])
        )
    events = Events.join(parts)
    events = events.take(np.random.default_rng([seed, 4]).permutation(events.user.size))
    return _scattered(np.random.default_rng([seed, 7]), events, Events.join(later))
