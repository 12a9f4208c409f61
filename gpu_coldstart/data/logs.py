"""The past: all that may be known of users, tracks and events.

Users are numbered warm, then validation, test and target, by ascending id within each. Tracks are
numbered by popularity among warm users (see :mod:`gpu_coldstart.engine.base`). Artists, albums
and playlists follow by ascending id. :mod:`gpu_coldstart.data.indexing` makes it of tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.tables import SPLITS
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.engine.base import Array, Csr

__all__ = ["Logs"]


@dataclass(frozen=True)
class Logs:
    """The past: what may be known of all users by the end of the cold ones' registration day.

    Attributes
    ----------
    user_ids : Array [users] of int64
        Warm, validation, test, target; ascending within each.
    n_warm, n_validation, n_test, n_target : int
        Targets are recommended to like test users but have no ground truth.
    age : Array [users] of float32
        Years; NaN where unknown.
    country : Array [users] of int32
        Index into ``countries``; -1 where unknown.
    countries, genres : tuple of str
    track_ids : Array [tracks] of int64
        Most popular first.
    popularity : Array [tracks] of int32
        Warm users who streamed the track.
    genre : Array [tracks] of int32
        Index into ``genres``; -1 where unknown.
    artist_ids, album_ids, playlist_ids : Array of int64
        Ascending. Entities are numbered tracks, artists, albums, playlists, one after another.
    members : Csr [entities, tracks]
        The tracks of each entity; a track's only member is itself.
    registration : Csr [users * 18, entities]
        Events of the registration day: row ``18 * user + signal``, in the order of
        :data:`gpu_coldstart.data.signals.SIGNALS`.
    signals : Array [users, 18] of float32
        Events of each signal on the registration day.
    history : Csr [warm users, tracks]
        Streams of each track.
    favorites : Csr [warm users, entities]
        Events that made an entity a favourite.
    plays : Csr [warm users, tracks]
        The streams that count for popularity: ``history``, or its first days.
    month : Csr [warm users, tracks]
        The streams of the days after registration on which cold users are judged
        (``split.truth_days``); all that count where single days are not known.
    days : (int, int)
        First and last day of the warm users' streams that count, from 1970.
    split_rule : str
        How users were split, with dates.
    notes : tuple of str
        What was left out and why, for the report.
    sound : Array [tracks, d] of float32, or None
        Where each track is by its sound, at unit length; null for a track without. None where the
        data set does not say.
    titles : Titles
        What people call tracks and playlists.
    ids : Ids
        What the int64 of users and entities stand for.
    """

    user_ids: Array
    n_warm: int
    n_validation: int
    n_test: int
    n_target: int
    age: Array
    country: Array
    countries: tuple[str, ...]
    track_ids: Array
    popularity: Array
    genre: Array
    genres: tuple[str, ...]
    artist_ids: Array
    album_ids: Array
    playlist_ids: Array
    members: Csr
    registration: Csr
    signals: Array
    history: Csr
    favorites: Csr
    plays: Csr
    month: Csr
    days: tuple[int, int] = (0, 0)
    split_rule: str = ""
    notes: tuple[str, ...] = ()
    sound: Array | None = None
    titles: Titles = field(default_factory=Titles)
    ids: Ids = field(default_factory=Ids)

    @property
    def n_users(self) -> int:
        """Number of users, warm and cold."""
        return self.n_warm + self.n_validation + self.n_test + self.n_target

    @property
    def n_tracks(self) -> int:
        """Number of tracks in the catalogue."""
        return int(self.track_ids.shape[0])

    @property
    def artists(self) -> slice:
        """The rows of ``members`` that are artists."""
        return slice(self.n_tracks, self.n_tracks + int(self.artist_ids.shape[0]))

    @property
    def albums(self) -> slice:
        """The rows of ``members`` that are albums."""
        return slice(self.artists.stop, self.artists.stop + int(self.album_ids.shape[0]))

    @property
    def playlists(self) -> slice:
        """The rows of ``members`` that are playlists."""
        return slice(self.albums.stop, self.members.shape[0])

    @property
    def registrations(self) -> Registrations:
        """Registration days of all users."""
        return Registrations(self.age, self.country, self.registration, self.signals)

    def users(self, *cohorts: str) -> slice:
        """The places in every user array of one cohort, or of some that follow one another."""
        sizes = dict(
            zip(SPLITS, (self.n_warm, self.n_validation, self.n_test, self.n_target), strict=True)
        )
        start = sum(sizes[name] for name in SPLITS[: SPLITS.index(cohorts[0])])
        return slice(start, start + sum(sizes[name] for name in cohorts))
