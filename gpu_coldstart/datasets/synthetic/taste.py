"""Who the users of the synthetic world are, and what they like.

A user has a country and an age; both decide most of the taste. The rest is personal: a leaning
to genres, to scenes, to moods within a scene, and a few favourite artists. `Taste` holds this
for a block of users and draws tracks from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_coldstart.datasets.synthetic.catalogue import Catalogue, Floats, Ints, zipf
from gpu_coldstart.datasets.synthetic.world import World

__all__ = ["People", "Taste", "make_people", "make_taste"]

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class People:
    """All users, warm ones first, then validation, then test.

    Attributes
    ----------
    country : array of int64, shape [users]
        Country.
    age : array of int64, shape [users]
        Age in years.
    registered : array of int64, shape [users]
        Microseconds since 1970-01-01 UTC.
    knows_country, knows_age : array of bool, shape [users]
        Whether the service knows the country, and the age.
    activity : array of float64, shape [users]
        How active the user is on the registration day; 1 on average.
    warm : array of bool, shape [users]
        Whether the user is warm.
    silent, streams : array of bool, shape [users]
        Whether the user does nothing on the registration day, and whether the user streams.
    """

    country: Ints
    age: Ints
    registered: Ints
    knows_country: npt.NDArray[np.bool_]
    knows_age: npt.NDArray[np.bool_]
    activity: Floats
    warm: npt.NDArray[np.bool_]
    silent: npt.NDArray[np.bool_]
    streams: npt.NDArray[np.bool_]


def make_people(world: World, rng: np.random.Generator, catalogue: Catalogue) -> People:
    """Draw the users and their registration.

    Parameters
    ----------
    world : World
        The knobs.
    rng : numpy.random.Generator
        Source of chance.
    catalogue : Catalogue
        For the audiences of the countries.

    Returns
    -------
    People
        ``n_warm + n_validation + n_test`` users.
    """
    sizes = (world.n_warm, world.n_validation, world.n_test)
    n = sum(sizes)
    warm = np.arange(n) < world.n_warm
    cold_week = np.datetime64(world.cold_week, "us").astype(np.int64)
    before = rng.integers(world.warm_gap, world.warm_days + 1, size=n)
    day = np.where(warm, -before, rng.integers(0, 7, size=n))
    # Registrations peak in the evening; the last hours are kept for the day's events.
    hour = rng.beta(3.0, 2.0, size=n) * 22.0
    years = np.exp(rng.normal(np.log(world.age_median - 12.0), world.age_spread, size=n))
    # Ranks instead of coin flips make the shares exact in each split.
    rank = np.concatenate([rng.permutation(size) / max(size, 1) for size in sizes])
    return People(
        country=rng.choice(world.n_countries, size=n, p=catalogue.country_share),
        age=np.clip(np.rint(12.0 + years), 13, 90).astype(np.int64),
        registered=(cold_week + day * DAY + hour * (DAY / 24)).astype(np.int64),
        knows_country=rng.random(n) >= world.null_country,
        knows_age=rng.random(n) >= world.null_age,
        activity=rng.lognormal(-(world.day_spread**2) / 2, world.day_spread, size=n),
        warm=warm,
        silent=rank < world.share_silent,
        streams=rank >= world.share_no_stream,
    )


def _softmax(log_odds: Floats) -> Floats:
    """Shares along the last axis from log-odds, any shape."""
    odds = np.exp(log_odds - log_odds.max(axis=-1, keepdims=True))
    shares: Floats = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def _cumulated(weight: Floats) -> Floats:
    """Rows of weights to one sorted array: row r's cumulated shares run from r to r + 1."""
    share = np.cumsum(weight, axis=1)
    share /= share[:, -1:]
    return np.ravel(share + np.arange(weight.shape[0])[:, None])


def _draw_column(rng: np.random.Generator, ends: Floats, columns: int, row: Ints) -> Ints:
    """Draw a column for each row named in `row`, shape [n], from `_cumulated` weights."""
    place = np.searchsorted(ends, row + rng.random(row.size), side="right")
    column: Ints = np.clip(place - row * columns, 0, columns - 1)
    return column


@dataclass(frozen=True)
class Taste:
    """The tastes of a block of users.

    Attributes
    ----------
    catalogue : Catalogue
        The tracks.
    country : array of int64, shape [block]
        Country of each user.
    likes : array of float64, shape [block * scenes * moods]
        Cumulated shares of the moods a user listens to.
    dislikes : array of float64, shape [block * scenes]
        Cumulated shares of the scenes that suit someone of the country and age, but not this
        user.
    idols : array of int64, shape [block, loyal_artists]
        Favourite artists, dearest first.
    idol_ends : array of float64, shape [loyal_artists]
        Cumulated share of plays of the favourite artists.
    shares : array of float64, shape [4]
        Cumulated shares of the streams from the world's chart, the home chart, scenes, and
        favourite artists; the rest is from moods.
    """

    catalogue: Catalogue
    country: Ints
    likes: Floats
    dislikes: Floats
    idols: Ints
    idol_ends: Floats
    shares: Floats

    def draw(self, rng: np.random.Generator, user: Ints, kinds: Floats | None = None) -> Ints:
        """Draw a track for each entry of `user`.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of chance.
        user : array of int64, shape [n]
            Users, numbered within the block.
        kinds : array of float64, shape [4], optional
            Cumulated shares to use in place of `shares`.

        Returns
        -------
        array of int64, shape [n]
            Tracks.
        """
        cat = self.catalogue
        moods = int(cat.mood[-1]) + 1
        per_scene = moods // cat.scenes.country.size
        ends = self.shares if kinds is None else kinds
        kind = np.searchsorted(ends, rng.random(user.size), side="right")
        mood = _draw_column(rng, self.likes, moods, user)
        track = cat.in_mood.draw(rng, mood)
        rows = np.flatnonzero(kind == 0)
        track[rows] = cat.charts.draw(rng, np.zeros(rows.size, dtype=np.int64))
        rows = np.flatnonzero(kind == 1)
        track[rows] = cat.charts.draw(rng, self.country[user[rows]] + 1)
        rows = np.flatnonzero(kind == 2)
        track[rows] = cat.in_scene.draw(rng, mood[rows] // per_scene)
        rows = np.flatnonzero(kind == 3)
        idol = np.searchsorted(self.idol_ends, rng.random(rows.size), side="right")
        track[rows] = cat.in_artist.draw(rng, self.idols[user[rows], idol])
        return track

    def draw_mood(self, rng: np.random.Generator, user: Ints) -> Ints:
        """Draw a mood for each entry of `user`, shape [n]."""
        return _draw_column(rng, self.likes, int(self.catalogue.mood[-1]) + 1, user)

    def draw_disliked(self, rng: np.random.Generator, user: Ints) -> Ints:
        """Draw a track that the service might offer in vain to each entry of `user`, [n]."""
        columns = self.catalogue.scenes.country.size
        scene = _draw_column(rng, self.dislikes, columns, user)
        return self.catalogue.in_scene.draw(rng, scene)


def make_taste(
    world: World,
    rng: np.random.Generator,
    catalogue: Catalogue,
    country: Ints,
    age: npt.NDArray[Any],
) -> Taste:
    """Draw the tastes of a block of users.

    Parameters
    ----------
    world : World
        The knobs.
    rng : numpy.random.Generator
        Source of chance.
    catalogue : Catalogue
        The scenes and tracks.
    country, age : array of int64, shape [block]
        The users.

    Returns
    -------
    Taste
        Their tastes.
    """
    scenes, block = catalogue.scenes, country.size
    home = scenes.country == country[:, None]
    abroad = (scenes.country >= 0) & ~home
    far = (age[:, None] - scenes.age) / world.age_width
    expected = world.home_pull * home - world.abroad_push * abroad - far**2 / 2
    genre = rng.normal(0.0, world.genre_noise, size=(block, world.n_genres))[:, scenes.genre]
    own = genre + rng.normal(0.0, world.scene_noise, size=expected.shape)
    scene = _softmax(expected + own)
    mood = _softmax(rng.normal(0.0, world.mood_noise, size=(*scene.shape, world.moods)))
    mood *= scene[:, :, None]
    likes = _cumulated(mood.reshape(block, -1))
    fans = np.repeat(np.arange(block), world.loyal_artists)
    admired = catalogue.in_mood.draw(
        rng, _draw_column(rng, likes, scene.shape[1] * world.moods, fans)
    )
    plays = np.cumsum(zipf(np.arange(world.loyal_artists), 0.7))
    parts = (world.share_world, world.share_home, world.share_scene, world.share_loyal)
    return Taste(
        catalogue=catalogue,
        country=country,
        likes=likes,
        dislikes=_cumulated(_softmax(expected - own)),
        idols=catalogue.artist[admired].reshape(block, -1),
        idol_ends=plays / plays[-1],
        shares=np.cumsum(parts),
    )
