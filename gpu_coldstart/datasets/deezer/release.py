"""The public release of the paper's data: embeddings, input vectors and truth, ready made.

Eight Parquet files in one directory. What is TT-SVD here is ``svd`` there, and UT-ALS is ``mf``:

``song_embeddings.parquet``
    ``song_index``, ``features_svd``, ``features_mf``
``user_embeddings.parquet``
    ``user_index``, ``svd_embeddings``, ``mf_embeddings``, of the warm users
``user_features_{train,validation,test}_{svd,mf}.parquet``
    ``user_index``; ``d1d30_songs``, the songs streamed on days 1 to 30; ``<block>_embedding<i>``
    for each block and i from 0 to d - 1 (the release's own description ends one later); and the
    19 scalars. Counts may be NaN, which is 0.

Columns are matched by name and rows by id; neither is assumed to be in order. (The
authors' code puts features and embeddings of warm users side by side in the order of their rows.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gpu_coldstart.data.files import is_there
from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.datasets.deezer import columns
from gpu_coldstart.datasets.deezer.columns import AGAIN, Floats, Ints, ReleaseFile
from gpu_coldstart.datasets.deezer.vectors import block_columns, input_vectors, may_be_nan
from gpu_coldstart.errors import UserError

__all__ = ["PARTS", "SHORT", "Points", "Release", "UserFeatures", "open_release"]

PARTS = ("train", "validation", "test")
"""What the release calls warm, validation and test users."""

SHORT = {"tt-svd": "svd", "ut-als": "mf"}
"""What the release calls each space."""

_SONGS, _USERS, _TRUTH = "song_index", "user_index", "d1d30_songs"


@dataclass(frozen=True)
class Points:
    """Songs or users in a space.

    Attributes
    ----------
    ids : array [n] of int64
        Ascending.
    vectors : array [n, d] of float32
    """

    ids: Ints
    vectors: Floats


@dataclass(frozen=True)
class UserFeatures:
    """Users' input vectors, and what they went on to stream.

    Attributes
    ----------
    ids : array [n] of int64
        Ascending.
    vectors : array [n, 20 d + 19] of float32
        In the order of :data:`gpu_coldstart.data.signals.BLOCKS`, then
        :data:`gpu_coldstart.data.signals.SCALARS`.
    indptr : array [n + 1] of int64
        Where each user's songs begin and end.
    songs : array [entries] of int64
        Ids of songs, distinct and ascending within a user; all are in ``song_embeddings``.
    """

    ids: Ints
    vectors: Floats
    indptr: Ints
    songs: Ints


class _Heard(NamedTuple):
    """The users of a part and their songs, as in :class:`UserFeatures`."""

    ids: Ints
    indptr: Ints
    songs: Ints


@dataclass(frozen=True)
class _Files:
    """The opened files; ``features`` by space and part, in the order of the spaces asked for."""

    songs: ReleaseFile
    users: ReleaseFile
    features: Mapping[tuple[str, str], ReleaseFile]


def open_release(directory: Path, spaces: Sequence[str]) -> Release:
    """Open the release and check everything but the vectors and the truth.

    That is: which files exist, their columns and types, the ids of songs and users, and that all
    files agree on the ids.

    Parameters
    ----------
    directory : Path
    spaces : sequence of {"tt-svd", "ut-als"}
        Only the files that these need have to be there.

    Raises
    ------
    UserError
        One sentence that names the file, the column, the row and what to do.
    """
    for space in spaces:
        if space not in SHORT:
            raise UserError(f"the release has no space '{space}': use {' or '.join(SHORT)}")
    if not (is_there(directory) and directory.is_dir()):
        raise UserError(
            f"{directory} is not a directory: name the one that holds the files of the data set "
            f"'{columns.TITLE}', from {columns.RECORD}"
        )
    files = _Files(
        ReleaseFile(directory / "song_embeddings.parquet"),
        ReleaseFile(directory / "user_embeddings.parquet"),
        {
            (space, part): ReleaseFile(directory / f"user_features_{part}_{SHORT[space]}.parquet")
            for space in spaces
            for part in PARTS
        },
    )
    files.songs.require(_SONGS, columns.IDS)
    files.users.require(_USERS, columns.IDS)
    dimensions = {space: _dimension(files, space) for space in spaces}
    for (space, _), file in files.features.items():
        _check_columns(file, space, dimensions[space])
    return Release(files, dimensions)


class Release:
    """The release, opened by :func:`open_release`; vectors and truth are read when asked for.

    Attributes
    ----------
    dimensions : dict of space to int
        The dimension d of each space asked for.
    """

    def __init__(self, files: _Files, dimensions: Mapping[str, int]):
        self._files = files
        self.dimensions = dict(dimensions)
        self._song_ids = _unique_ids(files.songs, _SONGS)
        self._user_ids = _unique_ids(files.users, _USERS)
        self._ids = {key: _unique_ids(file, _USERS) for key, file in files.features.items()}
        self._sorted_songs = np.sort(self._song_ids)
        self._truths: dict[str, tuple[ReleaseFile, str]] = {}
        self._notes: dict[tuple[str, str], list[str]] = {key: [] for key in files.features}
        self._check_users()

    def notes_of(self, space: str) -> tuple[str, ...]:
        """What was left out of the features of a space read so far, for the report."""
        return tuple(note for part in PARTS for note in self._notes[space, part])

    def songs(self, space: str) -> Points:
        """The songs in a space (of UT-ALS they are not unit).

        Raises
        ------
        UserError
            For a list of another length, or a number that is none or too large for float32.
        """
        return self._points(self._files.songs, f"features_{SHORT[space]}", self._song_ids, space)

    def warm_users(self, space: str) -> Points:
        """The warm users in a space, the same and in the same order as ``features`` of train.

        Raises
        ------
        UserError
            As :meth:`songs`.
        """
        return self._points(self._files.users, f"{SHORT[space]}_embeddings", self._user_ids, space)

    def features(self, space: str, part: str) -> UserFeatures:
        """The users of a part.

        Songs that ``song_embeddings`` does not know are left out, and so are validation
        and test users left without any: their measures are undefined. :meth:`notes_of` reports
        how many.

        Parameters
        ----------
        space : str
            One of the spaces that the release was opened for.
        part : {"train", "validation", "test"}

        Raises
        ------
        UserError
            When more than half of the songs are unknown, nobody is left, a song is not an
            integer, or a value is not a number (except in a count) or too large for float32.
        """
        file = self._files.features[space, part]
        heard, slot = self._heard(space, part)
        return UserFeatures(
            ids=heard.ids,
            vectors=input_vectors(file, self.dimensions[space], slot),
            indptr=heard.indptr,
            songs=heard.songs,
        )

    def check_truth(self, space: str) -> None:
        """Read the truth of a space, and no vectors, so that others are compared with it.

        Where it is not that of the space read first, :meth:`notes_of` says so.
        """
        for part in PARTS:
            if part not in self._truths:
                self._heard(space, part)

    # -- parts of the above --------------------------------------------------------------------

    def _heard(self, space: str, part: str) -> tuple[_Heard, Ints]:
        """Who counts in a part and what they streamed, and the place of each row of the file.

        The place is -1 for a user who is left out.
        """
        file = self._files.features[space, part]
        notes: list[str] = []
        self._notes[space, part] = notes
        ids = self._ids[space, part]
        order = np.argsort(ids)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        counts, songs = self._truth(file, rank, notes)
        kept = counts > 0
        if part == "train":
            kept[:] = True
        elif not kept.all():
            notes.append(
                f"{int((~kept).sum())} users of {file.path.name} have no known song in "
                f"{_TRUTH}; left out"
            )
        if not kept.any():
            raise UserError(
                f"{file.path}, column '{_TRUTH}': no user has a song that is in "
                f"{self._files.songs.path.name}: {AGAIN}"
            )
        indptr = np.concatenate([[0], np.cumsum(counts[kept])])
        heard = _Heard(ids[order][kept], indptr, songs)
        self._compare_truth(file, part, notes, heard)
        return heard, np.where(kept, np.cumsum(kept) - 1, -1)[rank]

    def _points(self, file: ReleaseFile, column: str, ids: Ints, space: str) -> Points:
        dimension = self.dimensions[space]
        vectors = columns.float_matrix(file, column, dimension, _why(space, dimension))
        order = np.argsort(ids)
        return Points(ids[order], vectors[order])

    def _truth(self, file: ReleaseFile, rank: Ints, notes: list[str]) -> tuple[Ints, Ints]:
        """Number of known songs of each user [rows] by ascending id, and all users' songs."""
        indptr, songs = columns.integer_lists(file, _TRUTH)
        known_songs = self._sorted_songs
        place = np.minimum(np.searchsorted(known_songs, songs), len(known_songs) - 1)
        known = known_songs[place] == songs
        rows = np.repeat(np.arange(len(rank)), np.diff(indptr))
        unknown = len(songs) - int(known.sum())
        if 2 * unknown > len(songs):
            first = int(np.argmin(known))
            file.fail(
                _TRUTH,
                int(rows[first]),
                f"song {songs[first]}, like {unknown} of {len(songs)} in the column, is not in "
                f"{self._files.songs.path.name}",
                f"take both files from one copy of the data set ({columns.RECORD})",
            )
        if unknown:
            notes.append(
                f"{unknown} of {len(songs)} songs in {_TRUTH} of {file.path.name} are not in "
                f"{self._files.songs.path.name}; left out"
            )
        # np.unique hashes first, which takes several times as long.
        pairs = np.sort(rank[rows[known]] * len(known_songs) + place[known])
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        user, song = np.divmod(pairs, len(known_songs))
        return np.bincount(user, minlength=len(rank)), known_songs[song]

    def _compare_truth(self, file: ReleaseFile, part: str, notes: list[str], truth: _Heard) -> None:
        """Note where the files of two spaces do not say the same of the same users."""
        digest = hashlib.sha256(b"".join(array.tobytes() for array in truth)).hexdigest()
        other, theirs = self._truths.setdefault(part, (file, digest))
        if theirs != digest:
            notes.append(f"warning: {_TRUTH} of {file.path.name} is not that of {other.path.name}")

    def _check_users(self) -> None:
        """Refuse files that do not speak of the same users, and users of two parts."""
        first: dict[str, tuple[ReleaseFile, Ints]] = {"train": (self._files.users, self._user_ids)}
        for (space, part), ids in self._ids.items():
            file = self._files.features[space, part]
            _check_same(*first.setdefault(part, (file, ids)), file, ids)
            for earlier in PARTS[: PARTS.index(part)]:
                twice = np.isin(ids, self._ids[space, earlier])
                if twice.any():
                    at = int(np.argmax(twice))
                    there = self._files.features[space, earlier].path.name
                    file.fail(_USERS, at, f"user {ids[at]} is also in {there}")


def _dimension(files: _Files, space: str) -> int:
    """The dimension that most songs have in a space."""
    name = f"features_{SHORT[space]}"
    files.songs.require(name, columns.LISTS)
    files.users.require(f"{SHORT[space]}_embeddings", columns.LISTS)
    return columns.usual_length(files.songs, name)


def _why(space: str, dimension: int) -> str:
    """What other columns must agree with."""
    return f"songs have {dimension} numbers in features_{SHORT[space]} of song_embeddings.parquet"


def _check_columns(file: ReleaseFile, space: str, dimension: int) -> None:
    """Refuse a file of features without a column, or of another dimension."""
    why = _why(space, dimension)
    file.require(_USERS, columns.IDS)
    file.require(_TRUTH, columns.LISTS)
    for name in SCALARS:
        file.require(name, columns.NUMBERS_OR_NULLS if may_be_nan(name) else columns.NUMBERS)
    for name in block_columns(dimension):
        file.require(name, columns.NUMBERS, why)
    for block in BLOCKS:
        if f"{block}_embedding{dimension}" in file.names:
            raise UserError(
                f"{file.path}, column '{block}_embedding{dimension}': there is one too many, as "
                f"{why}: take both files from one copy of the data set ({columns.RECORD})"
            )


def _unique_ids(file: ReleaseFile, column: str) -> Ints:
    """Ids in the order of the file; refuses duplicates."""
    ids = columns.integers(file, column)
    order = np.argsort(ids, kind="stable")
    repeats = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if len(repeats):
        row = int(repeats.min())
        original = int(np.argmax(ids == ids[row]))
        file.fail(column, row, f"the id {ids[row]} already stands in row {original}")
    return ids


def _check_same(one: ReleaseFile, ids: Ints, other: ReleaseFile, others: Ints) -> None:
    """Refuse two files whose users are not the same."""
    differing = np.setxor1d(ids, others)
    if len(differing):
        raise UserError(
            f"{other.path}, column '{_USERS}': {len(differing)} users, such as {differing[0]}, are "
            f"only there or only in {one.path.name}: take both files from one copy of the data "
            f"set ({columns.RECORD})"
        )
