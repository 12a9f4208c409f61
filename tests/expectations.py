"""What should become of tables, recomputed row by row without the code under test."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.engine import Engine
from tests.worlds import KINDS, Raw, Row, day_of, sparse

BLOCKS = [
    "age",
    "country",
    "favorite_songs",
    "favorite_artists",
    "favorite_albums",
    "favorite_playlists",
    "onboarding_like_artists",
    "skipped_songs",
    "skipped_artists",
    "skipped_albums",
    "streamed_songs",
    "streamed_artists",
    "streamed_albums",
    "banned_songs",
    "banned_artists",
    "banned_albums",
    "search_songs",
    "search_artists",
    "search_albums",
    "search_playlists",
]
"""The 20 blocks as the design lists them."""

SCALARS = [
    "age_value",
    "nb_favorite_songs",
    "nb_favorite_albums",
    "nb_favorite_artists",
    "nb_favorite_playlists",
    "nb_skipped_songs",
    "nb_skipped_artists",
    "nb_skipped_albums",
    "nb_banned_songs",
    "nb_banned_artists",
    "nb_banned_albums",
    "nb_streamed_songs",
    "nb_streamed_artists",
    "nb_streamed_albums",
    "nb_search_songs",
    "nb_search_albums",
    "nb_search_artists",
    "nb_search_playlists",
    "nb_onboarding_like_artists",
]
"""The 19 scalars as the design lists them."""

_VERBS = {
    "favorite": "favorite",
    "onboarding": "onboarding_like",
    "skip": "skipped",
    "stream": "streamed",
    "ban": "banned",
    "search": "search",
}
_NOUNS = {"track": "songs", "artist": "artists", "album": "albums", "playlist": "playlists"}

Thing = tuple[str, int]
"""A kind of entity and an id."""


@dataclass
class Expected:
    """What the logs of a world should say, in ids and dicts."""

    warm: list[int]
    validation: list[int]
    test: list[int]
    target: list[int]
    tracks: list[int]
    popularity: dict[int, int]
    artists: list[int]
    albums: list[int]
    playlists: list[int]
    members: dict[Thing, set[int]]
    registration: dict[tuple[int, str], Counter[Thing]]
    history: dict[int, Counter[int]]
    favorites: dict[int, Counter[Thing]]
    plays: dict[int, Counter[int]]
    month: dict[int, Counter[int]]
    stream_days: dict[int, Counter[int]]
    truth: dict[int, Counter[int]]
    truth_favorites: dict[int, Counter[Thing]]
    truth_playlists: dict[int, Counter[int]]
    people: dict[int, Row]

    @property
    def users(self) -> list[int]:
        """Ids in the order of the logs."""
        return [*self.warm, *self.validation, *self.test, *self.target]

    @property
    def entities(self) -> list[Thing]:
        """Entities in the order of the logs."""
        return [
            *(("track", number) for number in self.tracks),
            *(("artist", number) for number in self.artists),
            *(("album", number) for number in self.albums),
            *(("playlist", number) for number in self.playlists),
        ]


def expect(raw: Raw, config: Config) -> Expected:
    """Read a world by the design, with loops and dicts."""
    people = {row["user_id"]: row for row in raw.users}
    songs = {row["track_id"]: row for row in raw.tracks}
    members: dict[Thing, set[int]] = defaultdict(set)
    for number, song in songs.items():
        members["track", number].add(number)
        for kind in ("artist", "album"):
            if song.get(f"{kind}_id") is not None:
                members[kind, song[f"{kind}_id"]].add(number)
    for row in raw.playlists or ():
        members["playlist", row["playlist_id"]] = set()

    known = []
    for row in raw.interactions:
        if row["user_id"] in people and (row["entity"], row["entity_id"]) in members:
            day = day_of(row["timestamp"])
            since = day - day_of(people[row["user_id"]]["registered_at"])
            if since >= 0:
                known.append({"count": 1, **row, "day": day, "since": since})
    cohort = _cohorts(people, known, config)
    streams = [row for row in known if row["action"] == "stream" and row["entity"] == "track"]
    truth = _count(
        (row["user_id"], row["entity_id"], row["count"])
        for row in streams
        if 1 <= row["since"] <= config.split.truth_days and cohort[row["user_id"]] != "warm"
    )
    last = _last_warm_day(known, people, cohort, config)
    for number, name in cohort.items():
        if name in ("validation", "test") and len(truth[number]) < max(1, config.split.min_truth):
            cohort[number] = "target"
    known = [row for row in known if cohort[row["user_id"]] != "warm" or row["day"] <= last]
    streams = [row for row in known if row["action"] == "stream" and row["entity"] == "track"]
    played = {row["user_id"] for row in streams}
    for number, name in cohort.items():
        if name == "warm" and number not in played:
            cohort[number] = ""
    for row in raw.playlists or ():
        owner, made = row.get("user_id"), row.get("created_at")
        theirs = owner is not None and cohort.get(owner) != "warm"
        if row["track_id"] in songs and not theirs and (made is None or day_of(made) <= last):
            members["playlist", row["playlist_id"]].add(row["track_id"])

    def of(name: str) -> list[int]:
        return sorted(number for number in cohort if cohort[number] == name)

    warm = set(of("warm"))
    days = config.segments.popularity_days
    history, plays, month = (
        _count(
            (row["user_id"], row["entity_id"], row["count"])
            for row in streams
            if row["user_id"] in warm and (not last_day or 1 <= row["since"] <= last_day)
        )
        for last_day in (0, days, config.split.truth_days)
    )
    favorites = _count(
        (row["user_id"], (row["entity"], row["entity_id"]), row["count"])
        for row in known
        if row["user_id"] in warm and row["action"] == "favorite" and row["entity"] != "playlist"
    )
    later = [
        row
        for row in known
        if cohort[row["user_id"]] in ("validation", "test")
        and 1 <= row["since"] <= config.split.truth_days
    ]
    truth_favorites = _count(
        (row["user_id"], (row["entity"], row["entity_id"]), row["count"])
        for row in later
        if row["action"] == "favorite" and row["entity"] in ("track", "playlist")
    )
    truth_playlists = _count(
        (row["user_id"], row["entity_id"], row["count"])
        for row in later
        if row["action"] == "stream" and row["entity"] == "playlist"
    )
    popularity = {number: sum(number in plays[who] for who in warm) for number in songs}
    kept = {number for number in cohort if cohort[number]}
    ids = {kind: sorted(n for k, n in members if k == kind) for kind in KINDS}
    return Expected(
        warm=of("warm"),
        validation=of("validation"),
        test=of("test"),
        target=of("target"),
        tracks=sorted(songs, key=lambda number: (-popularity[number], number)),
        popularity=popularity,
        artists=ids["artist"],
        albums=ids["album"],
        playlists=ids["playlist"],
        members=dict(members),
        registration=_signals([row for row in known if row["user_id"] in kept], songs),
        history=history,
        favorites=favorites,
        plays=plays,
        month=month,
        stream_days=_count(
            (row["user_id"], row["day"], 1) for row in streams if row["user_id"] in warm
        ),
        truth={number: truth[number] for number in (*of("validation"), *of("test"))},
        truth_favorites=truth_favorites,
        truth_playlists=truth_playlists,
        people=people,
    )


def _count(triples: Iterable[tuple[Any, Any, int]]) -> dict[Any, Counter[Any]]:
    counts: dict[Any, Counter[Any]] = defaultdict(Counter)
    for who, what, times in triples:
        counts[who][what] += times
    return counts


def _cohorts(people: Mapping[int, Row], known: Sequence[Row], config: Config) -> dict[int, str]:
    """Cohort of each user; an empty name is left out."""
    if any("split" in row for row in people.values()):
        return {number: row["split"] for number, row in people.items()}
    end = max(row["day"] for row in known)
    registered = {number: day_of(row["registered_at"]) for number, row in people.items()}
    whole = sorted(day for day in registered.values() if day + config.split.truth_days <= end)
    cut = whole[min(len(whole) - 1, int((1 - config.split.cold_share) * len(whole)))]
    cohort: dict[int, str] = {}
    turn = 0
    for number in sorted(people):
        if registered[number] < cut:
            cohort[number] = "warm"
        elif registered[number] > whole[-1]:
            cohort[number] = "target"
        else:
            cohort[number] = ("validation", "test")[turn % 2]
            turn += 1
    return cohort


def _last_warm_day(
    known: Sequence[Row], people: Mapping[int, Row], cohort: Mapping[int, str], config: Config
) -> float:
    """Last day whose warm events count."""
    first_cold = min(
        day_of(row["registered_at"])
        for number, row in people.items()
        if cohort[number] in ("validation", "test")
    )
    warm = [row for row in known if cohort[row["user_id"]] == "warm"]
    late = [row for row in warm if row["day"] > first_cold]
    if config.split.warm_until == "all":
        return float("inf")
    if config.split.warm_until == "auto" and len(late) > len(warm) / 2:
        return float("inf")
    return first_cold


def _signals(
    known: Sequence[Row], songs: Mapping[int, Row]
) -> dict[tuple[int, str], Counter[Thing]]:
    """Registration-day events of each user and block."""
    signals: dict[tuple[int, str], Counter[Thing]] = defaultdict(Counter)
    for row in known:
        if row["since"]:
            continue
        things = [(row["entity"], row["entity_id"])]
        if row["action"] in ("stream", "skip", "ban") and row["entity"] == "track":
            song = songs[row["entity_id"]]
            for kind in ("artist", "album"):
                if song.get(f"{kind}_id") is not None:
                    things.append((kind, song[f"{kind}_id"]))
        for kind, number in things:
            name = f"{_VERBS[row['action']]}_{_NOUNS[kind]}"
            if name in BLOCKS:
                signals[row["user_id"], name][kind, number] += row["count"]
    return signals


def registrations_of(
    engine: Engine, wanted: Expected, users: list[int], countries: tuple[str, ...]
) -> Registrations:
    """Registration days of some users, from what plain Python counted."""
    events = np.zeros((18 * len(users), len(wanted.entities)), np.float32)
    number = {thing: place for place, thing in enumerate(wanted.entities)}
    for i, who in enumerate(users):
        for place, name in enumerate(BLOCKS[2:]):
            for thing, times in wanted.registration.get((who, name), {}).items():
                events[18 * i + place, number[thing]] = times
    people = [wanted.people[who] for who in users]
    ages = [math.nan if row["age"] is None else row["age"] for row in people]
    country = [
        countries.index(row["country"]) if row["country"] in countries else -1 for row in people
    ]
    return Registrations(
        engine.asarray(np.array(ages, np.float32)),
        engine.asarray(np.array(country, np.int32)),
        sparse(engine, events),
        engine.asarray(events.sum(axis=1).reshape(-1, 18)),
    )
