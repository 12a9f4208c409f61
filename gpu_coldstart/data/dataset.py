"""A data set: where the tables come from, and what it may bring ready made.

Tables bring everything. The public release of the paper brings embedding spaces and input vectors,
and so is a data set of its own (:mod:`gpu_coldstart.datasets.deezer.dataset`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gpu_coldstart import features, segments, spaces
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import tables
from gpu_coldstart.data.events import DAY
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.problems import refuse
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import SPACES

if TYPE_CHECKING:
    from gpu_coldstart.models import Checkpoint

__all__ = ["Dataset"]


class Dataset:
    """Users, tracks, interactions and playlists, by the data contract.

    Make one with :meth:`from_frames` or :meth:`from_parquet`. Nothing is read before it is needed.

    Parameters
    ----------
    source : callable
        Makes or opens the tables.
    description : str
        For people.
    files : callable
        The files that it reads, by the names to call them in messages.
    parameters : sequence of str
        Sections and keys of the configuration that the tables are made with.

    Examples
    --------
    >>> Dataset.from_frames(users={}, tracks={}, interactions={})
    Dataset(users, tracks, interactions)
    """

    spread: tuple[str, ...] = ()
    """The spaces that can be learned where the interactions are (``spark.spaces``)."""

    def __init__(
        self,
        source: Callable[[], tables.Source],
        description: str = "",
        *,
        files: Callable[[], Mapping[str, Path]] = dict,
        parameters: tuple[str, ...] = (),
    ):
        self._source = source
        self._description = description
        self.files = files
        self.parameters = parameters

    def __repr__(self) -> str:
        return f"Dataset({self._description})"

    @classmethod
    def from_frames(
        cls,
        *,
        users: Any,
        tracks: Any,
        interactions: Any,
        playlists: Any = None,
        sound: Any = None,
    ) -> Dataset:
        """A data set in memory.

        Parameters
        ----------
        users, tracks, interactions, playlists, sound : frame
            Anything with ``__arrow_c_stream__`` (pandas, Polars, PyArrow, DuckDB, cuDF) or a dict
            of columns, with the columns of the data contract.
        """
        frames = {"users": users, "tracks": tracks, "interactions": interactions}
        optional = {"playlists": playlists, "sound": sound}
        frames |= {name: frame for name, frame in optional.items() if frame is not None}
        return cls(
            lambda: {name: to_arrow(name, frame) for name, frame in frames.items()},
            ", ".join(frames),
        )

    @classmethod
    def from_parquet(cls, directory: str | Path) -> Dataset:
        """The files of a directory, as the data contract names them."""
        from gpu_coldstart.datasets import events

        place = Path(directory)
        return cls(lambda: events.source(place), str(directory), files=lambda: events.files(place))

    def on_spark(self, master: str | None = None) -> Dataset:
        """The same, but Apache Spark counts the interactions where they lie.

        Parameters
        ----------
        master : str or None
            Where Spark runs, such as ``"local[*]"``; None for the session that is active, or what
            the surroundings say.

        Raises
        ------
        UserError
            Where PySpark is missing, or for a data set that is not made of tables.
        """
        try:
            distributed = importlib.import_module("gpu_coldstart.distributed")
        except ImportError as error:
            raise UserError(
                f"PySpark is missing ({error}): pip install 'gpu-coldstart[spark]'; it also needs "
                "Java"
            ) from error
        moved: Dataset = distributed.SparkDataset.of(self, master)
        return moved

    def index(
        self, engine: Engine, config: Config, progress: spaces.Progress, *, tested: bool = True
    ) -> tuple[Logs, GroundTruth]:
        """The past, and what validation and test users did next.

        Parameters
        ----------
        tested : bool
            Whether there must be test users.

        Raises
        ------
        UserError
            For data that cannot be used, or settings that it cannot serve.
        """
        progress(0, 3, "making or opening the tables")
        source = self._source()
        progress(1, 3, "reading and checking")
        loaded = tables.load(engine, source)
        progress(2, 3, "indexing")
        days = config.segments.popularity_days
        return index(engine, loaded, config.split, popularity_days=days, tested=tested)

    def registered(self, engine: Engine) -> tuple[pa.Array, HostArray]:
        """All users and when they registered.

        Returns
        -------
        ids : pyarrow.Array [users] of int64 or string
        days : HostArray [users] of int64
            Counted from 1970.

        Raises
        ------
        UserError
            For a table of users that cannot be used.
        """
        checked = tables.read(engine, {"users": self._source()["users"]})
        refuse(checked.problems)
        columns = checked.tables["users"]
        ids, moments = (
            engine.to_host(columns[name].values) for name in ("user_id", "registered_at")
        )
        return checked.ids.names("user", ids), moments // DAY

    def check(self, engine: Engine, config: Config, logs: Logs) -> None:
        """Refuse settings of spaces that the data cannot serve, before any is learned.

        Raises
        ------
        UserError
            What a space's own ``check(engine, logs, parameters)``, if it has one, refuses.
        """
        for name in config.spaces:
            kind = SPACES.get(name)
            if hasattr(kind, "check"):
                kind.check(engine, logs, config.of(name))

    def space(
        self,
        name: str,
        engine: Engine,
        logs: Logs,
        config: Config,
        progress: spaces.Progress,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> spaces.Space:
        """The embedding space of that name (3.1.1, 3.1.2), learned or brought along.

        Parameters
        ----------
        checkpoint : Checkpoint, optional
            For a space that is ``resumable``: where to go on from, and to save epochs to.
        """
        kind = SPACES.get(name)
        resumed = {"checkpoint": checkpoint} if getattr(kind, "resumable", False) else {}
        space: spaces.Space = kind.fit(
            engine, logs, config.of(name), config.seed, progress, **resumed
        )
        return space

    def segments(
        self,
        engine: Engine,
        logs: Logs,
        space: spaces.Space,
        config: Config,
        progress: spaces.Progress,
    ) -> segments.Segments:
        """The segments of the warm users in a space, and their popular tracks (3.1.3)."""
        del progress
        return segments.fit(engine, logs, space, config.segments, config.seed)

    def inputs(
        self, engine: Engine, logs: Logs, space: spaces.Space, config: Config
    ) -> features.Inputs:
        """The input vectors of all users in a space (3.2.2)."""
        builder = features.FeatureBuilder.fit(engine, logs, space, config.features)
        return features.InputVectors(engine, builder, logs.registrations)
