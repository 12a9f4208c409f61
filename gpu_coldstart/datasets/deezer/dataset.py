"""The public release of the paper's data as a data set: the flow starts at the segments.

The release gives embeddings and input vectors, and for each user the tracks of days 1 to 30. It
says nothing of single registration-day events, of countries or of playlists, so what needs them
has nothing to show here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpu_coldstart.config.parameters import Config, FeaturesConfig
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.files import is_there
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import BLOCKS, SCALAR_SIGNALS, SCALARS, SIGNALS
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.datasets.deezer.release import (
    PARTS,
    SHORT,
    Release,
    UserFeatures,
    open_release,
)
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Csr, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import Inputs, Scaler
from gpu_coldstart.spaces import Progress, Space

if TYPE_CHECKING:
    from gpu_coldstart.models import Checkpoint

__all__ = ["GivenVectors", "ReleasedDataset"]


class ReleasedDataset(Dataset):
    """The eight files of the public release.

    Parameters
    ----------
    directory : Path
    spaces : sequence of str
        Which of the two spaces will be asked for.
    """

    def __init__(self, directory: Path, spaces: tuple[str, ...]):
        super().__init__(
            dict,
            str(directory),
            files=lambda: _files(directory),
            # The users are those of the first space; leaving out seen tracks is refused.
            parameters=("spaces", "strategies.exclude_seen"),
        )
        self._directory = directory
        self._spaces = spaces
        self._release: Release | None = None
        self._loaded: tuple[str, dict[str, UserFeatures]] | None = None

    def index(
        self, engine: Engine, config: Config, progress: Progress, *, tested: bool = True
    ) -> tuple[Logs, GroundTruth]:
        """Users, tracks, plays and truth, as far as the release has them."""
        del tested  # the release has test users
        if config.strategies.exclude_seen:
            raise UserError(
                "setting 'strategies.exclude_seen' needs to know the tracks of the registration "
                "day, which the public release does not tell: set it to false"
            )
        space = config.spaces[0]
        progress(0, 2, "reading tracks")
        songs = self._open().songs(space).ids
        progress(1, 2, f"reading users ({space})")
        parts = self._features(space)
        ids = np.concatenate([parts[part].ids for part in PARTS])
        sizes = [len(parts[part].ids) for part in PARTS]
        given = np.concatenate([parts[part].vectors[:, -len(SCALARS) :] for part in PARTS])
        signals = np.empty((len(ids), len(SIGNALS)), np.float32)
        signals[:, list(SCALAR_SIGNALS)] = given[:, 1:]

        listened = np.bincount(np.searchsorted(songs, parts["train"].songs), minlength=len(songs))
        order = np.argsort(-listened, kind="stable")  # songs ascend, so equals by smaller id
        place = np.empty(len(songs), np.int32)
        place[order] = np.arange(len(songs), dtype=np.int32)
        plays = _matrix(engine, [parts["train"]], songs, place)
        none = np.zeros(0, np.int64)
        logs = Logs(
            user_ids=engine.asarray(ids),
            n_warm=sizes[0],
            n_validation=sizes[1],
            n_test=sizes[2],
            n_target=0,
            age=engine.asarray(np.where(given[:, 0] > 0, given[:, 0], np.float32(np.nan))),
            country=engine.asarray(np.full(len(ids), -1, np.int32)),
            countries=(),
            track_ids=engine.asarray(songs[order]),
            popularity=engine.asarray(listened[order].astype(np.int32)),
            genre=engine.asarray(np.full(len(songs), -1, np.int32)),
            genres=(),
            artist_ids=engine.asarray(none),
            album_ids=engine.asarray(none),
            playlist_ids=engine.asarray(none),
            members=_empty(engine, (len(songs), len(songs))),
            registration=_empty(engine, (len(ids) * len(SIGNALS), len(songs))),
            signals=engine.asarray(signals),
            history=plays,
            favorites=_empty(engine, (sizes[0], len(songs))),
            plays=plays,
            month=plays,
            split_rule="train, validation and test users as released",
            notes=self._open().notes_of(space),
        )
        n_cold = sizes[1] + sizes[2]
        truth = GroundTruth(
            sizes[1],
            sizes[2],
            engine.asarray(ids[sizes[0] :]),
            tracks=_matrix(engine, [parts["validation"], parts["test"]], songs, place),
            favorites=_empty(engine, (n_cold, len(songs))),
            playlists=_empty(engine, (n_cold, 0)),
        )
        return logs, truth

    def check(self, engine: Engine, config: Config, logs: Logs) -> None:
        """Nothing to check: spaces are as released."""

    def space(
        self,
        name: str,
        engine: Engine,
        logs: Logs,
        config: Config,
        progress: Progress,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Space:
        """The released embeddings, in the order of the logs.

        Its notes are those on the input vectors of the space; of the first space, the logs have
        them.
        """
        del checkpoint  # nothing is trained
        release = self._open()
        notes: tuple[str, ...] = ()
        if name != config.spaces[0]:
            progress(0, 2, f"reading users ({name})")
            release.check_truth(config.spaces[0])  # a resumed run has not read it
            self._features(name)
            notes = release.notes_of(name)
        progress(1, 2, "reading embeddings")
        songs, users = release.songs(name), release.warm_users(name)
        tracks = np.searchsorted(songs.ids, engine.to_host(logs.track_ids))
        return Space(
            name,
            engine.asarray(np.ascontiguousarray(songs.vectors[tracks])),
            engine.asarray(users.vectors),
            notes=notes,
        )

    def inputs(self, engine: Engine, logs: Logs, space: Space, config: Config) -> Inputs:
        """The released input vectors, in the order of the logs."""
        parts = self._features(space.name)
        ids = np.concatenate([parts[part].ids for part in PARTS])
        if not np.array_equal(ids, engine.to_host(logs.user_ids)):
            raise UserError(
                f"{self._directory}: the features of {space.name} are not of the same users as "
                f"those of {self._spaces[0]}: download both again, or run one space at a time"
            )
        vectors = np.concatenate([parts[part].vectors for part in PARTS])
        self._loaded = None
        return GivenVectors(engine, logs, vectors, config.features)

    def _open(self) -> Release:
        if self._release is None:
            self._release = open_release(self._directory, self._spaces)
        return self._release

    def _features(self, space: str) -> dict[str, UserFeatures]:
        """All parts of one space; only the space asked for last is held."""
        if self._loaded is None or self._loaded[0] != space:
            self._loaded = None
            self._loaded = (space, {part: self._open().features(space, part) for part in PARTS})
        return self._loaded[1]


def _files(directory: Path) -> dict[str, Path]:
    """Those of the eight files that exist; opening the release reports the missing ones."""
    of_users = [f"user_features_{part}_{short}" for short in SHORT.values() for part in PARTS]
    names = [f"{name}.parquet" for name in ("song_embeddings", "user_embeddings", *of_users)]
    return {name: directory / name for name in names if is_there(directory / name)}


def _matrix(engine: Engine, parts: list[UserFeatures], songs: HostArray, place: HostArray) -> Csr:
    """Users' tracks of days 1 to 30, each once."""
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = place[np.searchsorted(songs, np.concatenate([part.songs for part in parts]))]
    return engine.csr(
        engine.asarray(rows),
        engine.asarray(columns),
        engine.asarray(np.ones(len(rows), np.float32)),
        (len(lengths), len(songs)),
    )


def _empty(engine: Engine, shape: tuple[int, int]) -> Csr:
    return Csr(
        engine.asarray(np.zeros(shape[0] + 1, np.int64)),
        engine.asarray(np.zeros(0, np.int32)),
        engine.asarray(np.zeros(0, np.float32)),
        shape,
    )


class GivenVectors(Inputs):
    """Input vectors that are there already.

    They are kept in the engine's memory where it can spare as much, else in the host's.

    Parameters
    ----------
    engine : Engine
    logs : Logs
    vectors : HostArray [users, width] of float32
        Raw; the scalars are replaced by those of the logs, scaled as configured.
    options : FeaturesConfig
    """

    def __init__(self, engine: Engine, logs: Logs, vectors: HostArray, options: FeaturesConfig):
        super().__init__(engine)
        self.width = vectors.shape[1]
        self._dimension = (self.width - len(SCALARS)) // len(BLOCKS)
        everybody = logs.registrations
        scaler = Scaler.fit(engine, everybody.first(logs.n_warm), raw=options.scalars == "raw")
        self.scalars = scaler.apply(engine, everybody)
        self._kept = vectors.nbytes <= engine.resident_bytes
        self._vectors: Array = engine.asarray(vectors) if self._kept else vectors

    def batch(self, users: Array) -> Array:
        """See :meth:`Inputs.batch`."""
        vectors = self._rows(users)
        vectors[:, -len(SCALARS) :] = self.scalars[users]
        return vectors

    def signal(self, name: str, users: Array) -> Array:
        """See :meth:`Inputs.signal`."""
        start = BLOCKS.index(name) * self._dimension
        return self._rows(users, slice(start, start + self._dimension))

    def table(self, users: Array) -> Callable[[Array], Array]:
        """See :meth:`Inputs.table`; nothing is copied that is kept already."""
        if not self._kept:
            return super().table(users)
        return lambda places: self.batch(users[places])

    def _rows(self, users: Array, columns: slice = slice(None)) -> Array:
        """Rows of some users, or some of their columns, a copy."""
        if self._kept:
            return self._vectors[users, columns]
        return self._engine.asarray(self._vectors[self._engine.to_host(users), columns])
