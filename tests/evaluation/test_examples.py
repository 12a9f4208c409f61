"""Users up close: who is chosen, and their first day in words."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import sparse

from gpu_coldstart.data.ids import Ids, Vocabulary
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.data.titles import Names, Titles
from gpu_coldstart.evaluation.examples import EntityNames, chosen, first_day
from gpu_coldstart.evaluation.groups import Grouping

PLACES = {signal.name: place for place, signal in enumerate(SIGNALS)}
NO_COUNTS = np.zeros(len(SIGNALS))
DASH = "\N{EN DASH}"
TRACKS, ARTISTS, ALBUM, PLAYLIST = range(8), (8, 9), 10, 11


def names(*, titled: bool) -> EntityNames:
    """Eight tracks of two artists, the last two of an album, in one playlist."""
    ids = {
        "track": np.arange(100, 108),
        "artist": np.array([7, 9]),
        "album": np.array([55]),
        "playlist": np.array([0]),
    }
    owners = {"artist": np.array([9, 8] * 4), "album": np.array([-1] * 6 + [ALBUM] * 2)}
    words = Vocabulary.of(pa.array(["mine"]))
    if not titled:
        return EntityNames(ids, owners, Ids(playlist=words, strings=("playlist",)), Titles())
    songs = Names(ids["track"], Vocabulary.of(pa.array([*"abcdefg", ""])))
    artists = Names(ids["track"], Vocabulary.of(pa.array(["Y", "X"] * 3 + ["Y", ""])))
    titles = Titles(songs, artists, Names(np.array([0]), Vocabulary.of(pa.array(["Mix"]))))
    return EntityNames(ids, owners, Ids(playlist=words, strings=("playlist",)), titles)


def day(**signals: dict[int, float]) -> sparse.csr_array:
    dense = np.zeros((len(SIGNALS), 12), np.float32)
    for name, entities in signals.items():
        for entity, count in entities.items():
            dense[PLACES[name], entity] = count
    return sparse.csr_array(dense)


def test_every_group_takes_its_turn() -> None:
    codes = np.array([0] * 50 + [2] * 3 + [3] * 50)
    groups = Grouping("interactions", ("none", "nobody", "few", "many"), codes)
    users = chosen(groups, 1)
    assert len(set(users)) == 10
    assert codes[users].tolist() == [0] * 4 + [2] * 3 + [3] * 3
    assert users.tolist() == chosen(groups, 1).tolist() != chosen(groups, 2).tolist()
    assert len(chosen(Grouping("interactions", ("none",), np.zeros(4, int)), 0)) == 4


def test_a_day_is_told_in_the_order_of_its_signals_the_most_frequent_first() -> None:
    did = day(
        favorite_playlists={PLAYLIST: 1},
        onboarding_like_artists={ARTISTS[0]: 1, ARTISTS[1]: 1},
        streamed_songs={track: 1 + (track == 3) for track in TRACKS},
        streamed_artists={ARTISTS[0]: 5, ARTISTS[1]: 4},
        streamed_albums={ALBUM: 2},
    )
    assert list(first_day(did, NO_COUNTS, names(titled=True))) == [
        "liked 1 playlist: Mix",
        "liked at onboarding 2 artists: X, Y",
        "streamed 8 tracks: d - X, a - Y, b - X, c - Y, e - Y and 3 more".replace("-", DASH),
    ]
    assert list(first_day(did, NO_COUNTS, names(titled=False))) == [
        "liked 1 playlist: mine",
        "liked at onboarding 2 artists: 7, 9",
        "streamed 8 tracks: 103, 100, 101, 102, 104 and 3 more",
    ]


def test_what_was_done_to_an_artist_itself_is_told_apart_from_its_tracks() -> None:
    did = day(
        skipped_songs={0: 0.1, 2: 0.2, 7: 1},
        skipped_artists={ARTISTS[0]: 3, ARTISTS[1]: 0.3},  # the first twice by itself
        skipped_albums={ALBUM: 1},
    )
    assert list(first_day(did, NO_COUNTS, names(titled=True))) == [
        "skipped 3 tracks: 107, c - Y, a - Y".replace("-", DASH),
        "skipped 1 artist: X",
    ]


def test_where_there_are_counts_alone_they_are_told() -> None:
    counts = NO_COUNTS.copy()
    counts[[PLACES[name] for name in ("streamed_songs", "streamed_artists")]] = 12
    counts[PLACES["search_albums"]] = 1
    told = list(first_day(day(), counts, names(titled=False)))
    assert told == ["streamed 12 tracks", "searched for 1 album"]
    assert not list(first_day(day(), NO_COUNTS, names(titled=True)))
