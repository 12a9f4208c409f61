"""The music of the synthetic world: scenes, tracks, artists, albums, charts and playlists.

Inside the generator everything is numbered from 0. Tracks are sorted by scene, mood, artist and
album, so that each of these is a run of neighbouring tracks; the ids that leave the generator
are drawn at random and say nothing of that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_coldstart.datasets.synthetic.world import World

__all__ = [
    "Catalogue",
    "Charts",
    "Groups",
    "Playlists",
    "Scenes",
    "draw_ids",
    "make_catalogue",
    "make_playlists",
    "zipf",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def zipf(rank: npt.NDArray[Any], exponent: float, head: float = 0.0) -> Floats:
    """Weight of each rank, ``(rank + 1 + head) ** -exponent`` for ranks from 0; any shape."""
    return np.asarray((rank + 1.0 + head) ** -exponent, dtype=np.float64)


def draw_ids(rng: np.random.Generator, n: int) -> Ints:
    """Draw `n` distinct ids, positive and below 2**53, in random order."""
    ids = np.unique(rng.integers(1, 2**53, size=n + 16))
    return rng.permutation(ids)[:n]


class Groups:
    """Weighted draws from within groups, each a run of neighbouring rows.

    Parameters
    ----------
    group : array of int64, shape [rows]
        Group of each row, numbered from 0, non-decreasing, none skipped.
    weight : array of float64, shape [rows]
        Weight of each row, positive.
    """

    def __init__(self, group: Ints, weight: Floats) -> None:
        self.start = np.searchsorted(group, np.arange(int(group[-1]) + 2)).astype(np.int64)
        total = np.add.reduceat(weight, self.start[:-1])
        share = np.cumsum(weight / total[group])
        # Row r of group g ends at g + (share of the group up to and with r): one sorted array
        # serves every group at once. Each group takes 1 in all, so `share` is already that.
        self.ends = np.minimum(share, group + 1.0)

    def draw(self, rng: np.random.Generator, group: Ints) -> Ints:
        """Draw one row for each entry of `group`, shape [n]; returns rows, shape [n]."""
        row = np.searchsorted(self.ends, group + rng.random(group.size), side="right")
        # Rounding may carry a draw over the edge of its group.
        return np.clip(row, self.start[group], self.start[group + 1] - 1)


@dataclass(frozen=True)
class Scenes:
    """The scenes: a genre each, at home in one country or international.

    Attributes
    ----------
    country, genre : array of int64, shape [scenes]
        Country (-1: international) and genre.
    age : array of float64, shape [scenes]
        Age at which the scene appeals most, in years.
    size : array of float64, shape [scenes]
        Audience the scene is made for, any unit.
    """

    country: Ints
    genre: Ints
    age: Floats
    size: Floats


@dataclass(frozen=True)
class Charts:
    """What is played everywhere, and what is played everywhere in a country.

    Attributes
    ----------
    tracks : array of int64, shape [countries + 1, chart_length]
        Tracks by rank; row 0 is the world's chart, row c + 1 that of country c.
    ends : array of float64, shape [chart_length]
        Cumulated share of the plays of a chart up to each rank; ends with 1.
    """

    tracks: Ints
    ends: Floats

    def draw(self, rng: np.random.Generator, chart: Ints) -> Ints:
        """Draw a track from each chart (a row of `tracks`) in `chart`, shape [n]."""
        rank = np.searchsorted(self.ends, rng.random(chart.size), side="right")
        return self.tracks[chart, np.minimum(rank, self.ends.size - 1)]


@dataclass(frozen=True)
class Catalogue:
    """Tracks and how they are drawn.

    Attributes
    ----------
    scenes : Scenes
        The scenes.
    country_share : array of float64, shape [countries]
        Share of each country among the users.
    scene, mood, artist, album : array of int64, shape [tracks]
        Scene, mood (``scene * moods + mood``), artist and album of each track.
    appeal : array of float64, shape [tracks]
        Popularity of a track within its scene, a Zipf weight.
    in_scene, in_mood, in_artist : Groups
        Draws of a track from a scene, a mood or an artist.
    charts : Charts
        Draws of a track from a chart.
    track_id, artist_id, album_id : array of int64
        The ids that leave the generator.
    """

    scenes: Scenes
    country_share: Floats
    scene: Ints
    mood: Ints
    artist: Ints
    album: Ints
    appeal: Floats
    in_scene: Groups
    in_mood: Groups
    in_artist: Groups
    charts: Charts
    track_id: Ints
    artist_id: Ints
    album_id: Ints


@dataclass(frozen=True)
class Playlists:
    """Playlists and their tracks.

    Attributes
    ----------
    playlist, track, position : array of int64, shape [rows]
        Playlist, track and place in the playlist, from 0.
    mood_start : array of int64, shape [scenes * moods + 1]
        Playlists ``mood_start[m]`` to ``mood_start[m + 1] - 1`` suit mood m.
    playlist_id : array of int64, shape [playlists]
        The ids that leave the generator.
    """

    playlist: Ints
    track: Ints
    position: Ints
    mood_start: Ints
    playlist_id: Ints


def _make_scenes(world: World, rng: np.random.Generator, share: Floats) -> Scenes:
    """One international scene per genre, then the local scenes of each country."""
    home, genres = [np.full(world.n_genres, -1)], [np.arange(world.n_genres)]
    for place in range(world.n_countries):
        # A third of the audience still carries well over half of the scenes.
        count = max(1, round(world.local_scenes * float(share[place] / share[0]) ** 0.4))
        home.append(np.full(count, place))
        genres.append(rng.permutation(world.n_genres)[:count])
    country = np.concatenate(home).astype(np.int64)
    size = np.where(country < 0, 0.5, share[country]) * rng.lognormal(0.0, 0.4, country.size)
    return Scenes(
        country=country,
        genre=np.concatenate(genres).astype(np.int64),
        age=world.age_median + rng.uniform(-14.0, 18.0, size=country.size),
        size=size,
    )


def _runs(rng: np.random.Generator, outer: Ints, mean: float) -> Ints:
    """Cut each run of equal `outer` into shorter runs of `mean` rows; returns their numbers."""
    starts = rng.random(outer.size) < 1.0 / mean
    starts[1:] |= outer[1:] != outer[:-1]
    starts[0] = True
    return np.cumsum(starts) - 1


def _rank_within(group: Ints, score: Floats) -> Ints:
    """Rank of each row by falling `score` within its `group` (non-decreasing), from 0."""
    order = np.lexsort((-score, group))
    rank = np.empty(group.size, dtype=np.int64)
    rank[order] = np.arange(group.size) - np.searchsorted(group, group)[order]
    return rank


def _make_charts(
    world: World, rng: np.random.Generator, scenes: Scenes, scene: Ints, appeal: Floats
) -> Charts:
    """Fill the charts with the most popular tracks of the scenes, with some luck."""
    length = min(world.chart_length, scene.size)
    rows = []
    for country in range(-1, world.n_countries):
        home = scenes.country[scene] == country
        abroad = scenes.country[scene] == -1
        luck = rng.gumbel(0.0, 1.0, size=scene.size)
        pull = np.where(home, 0.0, np.where(abroad, -2.0, -np.inf))
        best = np.argsort(-(np.log(appeal) + 0.3 * luck + pull), kind="stable")[:length]
        rows.append(best)
    share = np.cumsum(zipf(np.arange(length), world.chart_zipf, world.zipf_head))
    return Charts(tracks=np.stack(rows).astype(np.int64), ends=share / share[-1])


def make_catalogue(world: World, rng: np.random.Generator) -> Catalogue:
    """Make the scenes and the tracks.

    Parameters
    ----------
    world : World
        The knobs.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    Catalogue
        `world.n_tracks` tracks.
    """
    share = zipf(np.arange(world.n_countries), world.country_skew)
    share /= share.sum()
    scenes = _make_scenes(world, rng, share)
    # Small scenes still have a catalogue: it grows with the square root of the audience.
    want = np.sqrt(scenes.size)
    least = 2 * world.moods
    spare = world.n_tracks - least * want.size
    edges = np.rint(np.cumsum(want) / want.sum() * spare).astype(np.int64)
    counts = np.diff(edges, prepend=0) + least
    scene = np.repeat(np.arange(want.size), counts)
    place = np.arange(scene.size) - np.searchsorted(scene, scene)
    mood = scene * world.moods + place * world.moods // counts[scene]
    artist = _runs(rng, mood, world.tracks_per_artist)
    album = _runs(rng, artist, world.tracks_per_album)
    fame = rng.normal(0.0, 1.0, size=int(artist[-1]) + 1)[artist]
    score = fame + rng.normal(0.0, 1.0, size=scene.size)
    appeal = zipf(_rank_within(scene, score), world.scene_zipf, world.zipf_head)
    return Catalogue(
        scenes=scenes,
        country_share=share,
        scene=scene,
        mood=mood,
        artist=artist,
        album=album,
        appeal=appeal,
        in_scene=Groups(scene, appeal),
        in_mood=Groups(mood, zipf(_rank_within(mood, score), world.mood_zipf, world.zipf_head)),
        in_artist=Groups(artist, zipf(_rank_within(artist, score), world.artist_zipf)),
        charts=_make_charts(world, rng, scenes, scene, appeal),
        track_id=draw_ids(rng, scene.size),
        artist_id=draw_ids(rng, int(artist[-1]) + 1),
        album_id=draw_ids(rng, int(album[-1]) + 1),
    )


def make_playlists(world: World, rng: np.random.Generator, catalogue: Catalogue) -> Playlists:
    """Make the playlists: most are about a mood, some about a scene, an artist or nothing.

    Parameters
    ----------
    world : World
        The knobs.
    rng : numpy.random.Generator
        Source of chance.
    catalogue : Catalogue
        The tracks.

    Returns
    -------
    Playlists
        `world.n_playlists` playlists of at least two tracks, each track at most once.
    """
    cat, n = catalogue, world.n_playlists
    # A playlist starts from a track: its mood, scene or artist is the theme.
    seed = np.sort(rng.integers(0, cat.scene.size, size=n))
    themes = (world.playlist_scene, world.playlist_artist, world.playlist_mixed)
    kind = np.searchsorted(np.cumsum(themes), rng.random(n), side="right")
    length = 2 + rng.poisson(rng.gamma(2.0, max(world.playlist_length - 2.0, 0.0) / 2.0, n))
    playlist = np.repeat(np.arange(n), length)
    row_seed, row_kind = seed[playlist], kind[playlist]
    row_kind[rng.random(playlist.size) < world.playlist_stray] = 2
    weight = cat.appeal**world.playlist_skew
    everything = np.zeros(cat.scene.size, dtype=np.int64)
    track = np.empty(playlist.size, dtype=np.int64)
    for code, group in enumerate((cat.scene, cat.artist, everything, cat.mood)):
        rows = row_kind == code
        track[rows] = Groups(group, weight).draw(rng, group[row_seed[rows]])
    # The seed track leads, so that no playlist is empty once repeats are gone.
    first = np.searchsorted(playlist, np.arange(n))
    track[first] = seed
    kept = np.sort(np.unique(playlist * cat.scene.size + track, return_index=True)[1])
    playlist, track = playlist[kept], track[kept]
    moods = np.arange(int(cat.mood[-1]) + 2)
    return Playlists(
        playlist=playlist,
        track=track,
        position=np.arange(playlist.size) - np.searchsorted(playlist, playlist),
        mood_start=np.searchsorted(cat.mood[seed], moods).astype(np.int64),
        playlist_id=draw_ids(rng, n),
    )
