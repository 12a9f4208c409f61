"""The knobs of the synthetic world, and three worlds ready for use.

A `World` says how many users and tracks there are, how tastes are made, how people listen and
what they do on the day they register. `gpu_coldstart.datasets.synthetic.generate.generate` turns a
world and a seed into the tables of the data contract; the prose on how the world works is
there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date

from gpu_coldstart.errors import UserError

__all__ = ["COUNTRIES", "GENRES", "PRESETS", "World"]

COUNTRIES: tuple[str, ...] = (
    *("FR", "BR", "DE", "GB", "US", "MX", "CO", "ES", "IT", "NL", "PL", "AR", "CL", "TR", "MA"),
    *("DZ", "BE", "CH", "CA", "PT", "TN", "CI", "SN", "ZA", "NG", "EG", "UA", "RO", "SE", "AU"),
)
"""ISO 3166 codes of the countries a world may have, largest audience first."""

GENRES: tuple[str, ...] = (
    *("pop", "rap", "rock", "electro", "r&b", "latin", "metal", "folk"),
    *("jazz", "classical", "reggae", "indie", "soul", "country", "film", "kids"),
)
"""Names of the genres a world may have, in the order in which they are used."""


@dataclass(frozen=True)
class World:
    """Every knob of the synthetic world.

    Attributes
    ----------
    n_warm, n_validation, n_test : int
        Users of each split.
    n_tracks : int
        Tracks in the catalogue.
    n_playlists : int
        Playlists.
    n_countries : int
        Countries, at most ``len(COUNTRIES)``.
    n_genres : int
        Genres, at most ``len(GENRES)``; each has one international scene.
    local_scenes : int
        Scenes of its own that the largest country has (at most one per genre); smaller
        countries have fewer, but at least one.
    moods : int
        Moods a scene is divided into; an artist belongs to one mood.
    tracks_per_artist, tracks_per_album : float
        Mean number of tracks of an artist, and of an album.
    cold_week : str
        First day of the week in which the cold users register (ISO date, UTC).
    warm_days : int
        The warm users register at most this many days before the cold week.
    warm_gap : int
        The warm users register at least this many days before the cold week, so that each has
        a history.
    country_skew : float
        Zipf exponent of the countries' audiences.
    age_median, age_spread : float
        Median age in years, and standard deviation of the logarithm of the age above 12.
    null_country, null_age : float
        Share of users whose country, and whose age, is unknown.
    home_pull : float
        Log-odds for the scenes of the user's own country.
    abroad_push : float
        Log-odds against the local scenes of other countries.
    age_width : float
        Years from a scene's typical age at which its appeal falls by a factor exp(-1/2).
    genre_noise, scene_noise, mood_noise : float
        Standard deviation, in log-odds, of what country and age do not explain of a user's
        taste for genres, for scenes, and for the moods within a scene.
    share_world, share_home, share_scene, share_loyal : float
        Share of streams that comes from the world's charts, from the country's charts, from
        what is popular in a scene, and from the user's favourite artists; the rest comes from
        the moods.
    loyal_artists : int
        Favourite artists of a user.
    chart_length : int
        Tracks in a chart.
    chart_zipf, scene_zipf, mood_zipf, artist_zipf : float
        Zipf exponent of the popularity of tracks in a chart, a scene, a mood and among the
        tracks of one artist.
    zipf_head : float
        Ranks by which the head of these laws is flattened: weights are
        ``(rank + zipf_head) ** -exponent`` for ranks from 1.
    warm_tracks_min, warm_tracks_mean : float
        Fewest and mean number of distinct tracks in a warm user's history.
    cold_tracks_min, cold_tracks_mean : float
        Fewest and mean number of distinct tracks a cold user streams on days 1 to 30.
    share_silent : float
        Share of users who do nothing on their registration day.
    share_no_stream : float
        Share of users without a stream on their registration day, the silent ones included.
    share_negative : float
        Share of skips and bans among the interactions of a registration day.
    ban_share : float
        Share of bans among the skips and bans.
    day_streams : float
        Mean number of streams on the registration day of a user who streams at all.
    day_onboarding : float
        Mean number of artists liked while onboarding, by a user who is not silent.
    day_favorites, day_searches : tuple of 4 float
        Mean number of favourites and of searches of tracks, artists, albums and playlists on
        the registration day of a user who is not silent.
    later_favorites : tuple of 2 float
        Mean number of tracks and of playlists that a cold user makes favourites on days 1 to 30.
    day_spread : float
        Standard deviation of the logarithm of a user's activity on the registration day.
    playlist_length : float
        Mean number of tracks in a playlist.
    playlist_skew : float
        Exponent on a track's popularity when a playlist picks it: 0 ignores popularity, 1
        follows the streams.
    playlist_scene, playlist_artist, playlist_mixed : float
        Share of playlists about a whole scene, about one artist, and about nothing; the rest
        is about one mood.
    playlist_stray : float
        Share of tracks in a playlist that have nothing to do with its theme.
    """

    n_warm: int = 6000
    n_validation: int = 1500
    n_test: int = 1500
    n_tracks: int = 6000
    n_playlists: int = 6000
    n_countries: int = 8
    n_genres: int = 8
    local_scenes: int = 4
    moods: int = 4
    tracks_per_artist: float = 12.0
    tracks_per_album: float = 5.0
    cold_week: str = "2020-11-02"
    warm_days: int = 365
    warm_gap: int = 35
    country_skew: float = 1.0
    age_median: float = 30.0
    age_spread: float = 0.55
    null_country: float = 0.01
    null_age: float = 0.03
    home_pull: float = 2.1
    abroad_push: float = 3.0
    age_width: float = 10.0
    genre_noise: float = 1.1
    scene_noise: float = 1.0
    mood_noise: float = 1.5
    share_world: float = 0.045
    share_home: float = 0.05
    share_scene: float = 0.2
    share_loyal: float = 0.2
    loyal_artists: int = 8
    chart_length: int = 100
    chart_zipf: float = 0.7
    scene_zipf: float = 2.0
    mood_zipf: float = 2.0
    artist_zipf: float = 0.8
    zipf_head: float = 25.0
    warm_tracks_min: float = 20.0
    warm_tracks_mean: float = 130.0
    cold_tracks_min: float = 20.0
    cold_tracks_mean: float = 100.0
    share_silent: float = 0.05
    share_no_stream: float = 0.23
    share_negative: float = 0.12
    ban_share: float = 0.1
    day_streams: float = 10.0
    day_onboarding: float = 2.0
    day_favorites: tuple[float, ...] = (1.0, 0.4, 0.2, 0.2)
    day_searches: tuple[float, ...] = (0.8, 0.6, 0.2, 0.2)
    later_favorites: tuple[float, ...] = (5.0, 1.0)
    day_spread: float = 0.8
    playlist_length: float = 30.0
    playlist_skew: float = 0.05
    playlist_scene: float = 0.2
    playlist_artist: float = 0.1
    playlist_mixed: float = 0.1
    playlist_stray: float = 0.12

    def __post_init__(self) -> None:
        """Refuse a world that cannot be made.

        Raises
        ------
        UserError
            One sentence that names the knob, its value and the values it may have.
        """
        for field in fields(self):
            _check_number(field.name, getattr(self, field.name), field.default)
        _check_together(self)


# Knob -> (smallest, largest). Every other numeric knob may be anything from 0 up.
_RANGES: dict[str, tuple[float, float]] = {
    "n_warm": (1, 10**8),
    "n_tracks": (1, 10**8),
    "n_playlists": (1, 10**8),
    "n_countries": (1, len(COUNTRIES)),
    "n_genres": (1, len(GENRES)),
    "local_scenes": (1, len(GENRES)),
    "moods": (1, 100),
    "tracks_per_artist": (1, 10**4),
    "tracks_per_album": (1, 10**4),
    "warm_gap": (3, 10**4),
    "age_median": (13, 90),
    "age_width": (0.1, 10**6),
    "loyal_artists": (1, 1000),
    "chart_length": (1, 10**6),
    "warm_tracks_min": (1, 10**6),
    "cold_tracks_min": (1, 10**6),
    "playlist_length": (1, 10**4),
    "day_streams": (1, 10**4),
    "share_negative": (0, 0.9),
}
_SHARES = frozenset(
    (
        *("null_country", "null_age", "share_world", "share_home", "share_scene", "share_loyal"),
        *("share_silent", "share_no_stream", "ban_share"),
        *("playlist_scene", "playlist_artist", "playlist_mixed", "playlist_stray"),
    )
)


def _check_number(name: str, value: object, default: object) -> None:
    """Check one knob by itself, of the kind that its default is of; see `World`."""
    if name == "cold_week":
        try:
            date.fromisoformat(str(value))
        except ValueError:
            raise UserError(
                f"world.cold_week is {value!r}: give a date such as '2020-11-02'"
            ) from None
        return
    low, high = (0.0, 1.0) if name in _SHARES else _RANGES.get(name, (0.0, 10.0**8))
    whole = isinstance(default, int)
    what = "a whole number" if whole else "a number"
    parts: tuple[object, ...] = (value,)
    if isinstance(default, tuple):
        what = f"{len(default)} numbers"
        parts = value if isinstance(value, tuple) and len(value) == len(default) else (None,)
    for part in parts:
        if (
            not isinstance(part, int | float)
            or isinstance(part, bool)
            or (whole and not isinstance(part, int))
            or not low <= part <= high
        ):
            raise UserError(f"world.{name} is {value!r}: give {what} from {low:g} to {high:g}")


def _require(fine: object, message: str) -> None:
    """Raise a `UserError` with `message` unless `fine`."""
    if not fine:
        raise UserError(message)


def _check_together(world: World) -> None:
    """Check knobs that depend on one another; see `World.__post_init__`."""
    w = world
    _require(
        w.local_scenes <= w.n_genres,
        f"world.local_scenes is {w.local_scenes}: give at most world.n_genres, "
        f"which is {w.n_genres}",
    )
    _require(
        w.warm_gap < w.warm_days,
        f"world.warm_gap is {w.warm_gap}: give fewer days than world.warm_days, "
        f"which is {w.warm_days}",
    )
    _require(
        w.share_silent <= w.share_no_stream,
        f"world.share_silent is {w.share_silent}: give at most world.share_no_stream, "
        f"which is {w.share_no_stream}, because the silent users have no stream either",
    )
    _require(
        w.share_world + w.share_home + w.share_scene + w.share_loyal <= 1,
        "world.share_world, share_home, share_scene and share_loyal add up to more than 1: "
        "lower one of them",
    )
    _require(
        w.playlist_scene + w.playlist_artist + w.playlist_mixed <= 1,
        "world.playlist_scene, playlist_artist and playlist_mixed add up to more than 1: "
        "lower one of them",
    )
    # Each mood of each scene needs a track or two.
    least = 2 * w.moods * (w.n_genres + w.n_countries * w.local_scenes)
    _require(
        w.n_tracks >= least,
        f"world.n_tracks is {w.n_tracks}: give at least {least} for {w.n_genres} genres, "
        f"{w.n_countries} countries with up to {w.local_scenes} local scenes, "
        f"and {w.moods} moods",
    )
    for kind in ("warm", "cold"):
        fewest = getattr(w, f"{kind}_tracks_min")
        mean = getattr(w, f"{kind}_tracks_mean")
        _require(
            fewest <= mean <= w.n_tracks / 4,
            f"world.{kind}_tracks_mean is {mean:g}: give at least world.{kind}_tracks_min, "
            f"which is {fewest:g}, and at most a quarter of world.n_tracks, "
            f"which is {w.n_tracks}",
        )


_SMALL = World()

PRESETS: dict[str, World] = {
    "tiny": replace(
        _SMALL,
        n_warm=400,
        n_validation=80,
        n_test=80,
        n_tracks=600,
        n_playlists=600,
        n_countries=3,
        n_genres=4,
        local_scenes=2,
        moods=2,
        zipf_head=6,
        chart_length=40,
        warm_tracks_min=10,
        warm_tracks_mean=40,
        cold_tracks_mean=40,
        playlist_length=15,
    ),
    "small": _SMALL,
    "paper": replace(
        _SMALL,
        n_warm=70_000,
        n_validation=20_000,
        n_test=10_000,
        n_tracks=50_000,
        n_playlists=30_000,
        n_countries=20,
        n_genres=12,
        local_scenes=5,
        moods=9,
        scene_zipf=2.6,
        mood_zipf=2.5,
        chart_length=200,
        zipf_head=60,
        cold_tracks_min=50,
        cold_tracks_mean=150,
    ),
}
"""``tiny`` for tests, ``small`` for a first run, ``paper`` for the size of the paper's data."""
