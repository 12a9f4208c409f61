"""A data set whose interactions stay where they are: Spark counts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import tables
from gpu_coldstart.data.contract import SCHEMAS, contents
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.data.problems import refuse
from gpu_coldstart.data.selection import Registered
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.distributed import tt_svd, ut_als
from gpu_coldstart.distributed.checks import checked, numbers, schema_sample
from gpu_coldstart.distributed.counting import Counting
from gpu_coldstart.distributed.segments import segments
from gpu_coldstart.distributed.sessions import session
from gpu_coldstart.distributed.warm import Histories
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.segments import Segments
from gpu_coldstart.spaces import Progress, Space
from gpu_coldstart.spaces.tt_svd import check_dimension

if TYPE_CHECKING:
    from gpu_coldstart.models import Checkpoint

__all__ = ["SparkDataset"]

Interactions: TypeAlias = Path | pa.Table | DataFrame

_FITS: dict[str, Callable[..., Space]] = {"tt-svd": tt_svd.tt_svd, "ut-als": ut_als.ut_als}
"""What learns a space in executors."""

_USERS: dict[str, Callable[..., AbstractContextManager[DataFrame]]] = {
    "tt-svd": tt_svd.users,
    "ut-als": ut_als.users,
}
"""What places all warm users in such a space."""


class SparkDataset(Dataset):
    """Users, tracks and playlists on the driver, interactions on Spark.

    Logs and ground truth come out the same as on one machine. What reaches the driver of the
    interactions are counts: one for each user, entity, kind of event and period that the method
    tells apart.

    Parameters
    ----------
    source : callable
        Makes or opens the tables; interactions are a path that every executor can read, an Arrow
        table, or a Spark DataFrame.
    master : str or None
        Where Spark runs, if no session is active; see
        :func:`gpu_coldstart.distributed.sessions.session`.
    description, files, parameters
        As for :class:`~gpu_coldstart.data.dataset.Dataset`.
    """

    spread = tuple(_FITS)

    def __init__(
        self,
        source: Callable[[], Mapping[str, Interactions]],
        description: str = "",
        *,
        master: str | None = None,
        files: Callable[[], Mapping[str, Path]] = dict,
        parameters: tuple[str, ...] = (),
    ):
        super().__init__(source, description, files=files, parameters=parameters)
        self._master = master

    @classmethod
    def of(cls, dataset: Dataset, master: str | None) -> SparkDataset:
        """Another data set, its interactions on Spark.

        Raises
        ------
        UserError
            For a data set that is not made of tables.
        """
        if type(dataset) is not Dataset:
            raise UserError(
                "Spark counts interactions, and this data set has none: take another engine"
            )
        return cls(
            dataset._source,
            f"{dataset._description}, on Spark",
            master=master,
            files=dataset.files,
            parameters=dataset.parameters,
        )

    def on_spark(self, master: str | None = None) -> SparkDataset:
        """Itself, where it is, whatever the ``master``."""
        return self

    @classmethod
    def from_spark(
        cls,
        *,
        users: Any,
        tracks: Any,
        interactions: DataFrame,
        playlists: Any = None,
        sound: Any = None,
    ) -> SparkDataset:
        """A data set of Spark DataFrames, from whatever source: ``spark.table(...)``.

        Parameters
        ----------
        users, tracks, playlists, sound : DataFrame or frame
            Collected on the driver; or any frame that
            :meth:`~gpu_coldstart.data.dataset.Dataset.from_frames` takes.
        interactions : DataFrame
            Stays on Spark.
        """
        frames = {"users": users, "tracks": tracks, "playlists": playlists, "sound": sound}

        def source() -> Mapping[str, Interactions]:
            held = {
                name: _collected(name, frame) for name, frame in frames.items() if frame is not None
            }
            return {**held, "interactions": interactions}

        return cls(source, "tables of Spark")

    def index(
        self, engine: Engine, config: Config, progress: Progress, *, tested: bool = True
    ) -> tuple[Logs, GroundTruth]:
        """See :meth:`~gpu_coldstart.data.dataset.Dataset.index`."""
        progress(0, 3, "making or opening the tables")
        source = self._source()
        with session(self._master) as spark:
            progress(1, 3, "reading and checking")
            loaded, frame = _opened(engine, spark, source)
            frame = checked(engine, frame, loaded.ids)
            progress(2, 3, "indexing")
            days = config.segments.popularity_days
            return index(
                engine,
                loaded,
                config.split,
                popularity_days=days,
                tested=tested,
                selecting=Counting(frame, days),
            )

    def check(self, engine: Engine, config: Config, logs: Logs) -> None:
        """See :meth:`~gpu_coldstart.data.dataset.Dataset.check`.

        What executors learn from is not at hand: whether it will do shows when they do.
        """
        if config.spark.spaces == "driver":
            super().check(engine, config, logs)
        elif "tt-svd" in config.spaces:
            check_dimension(logs, config.tt_svd)

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
        """See :meth:`~gpu_coldstart.data.dataset.Dataset.space`; maybe learned in executors."""
        if config.spark.spaces == "driver":
            return super().space(name, engine, logs, config, progress, checkpoint=checkpoint)
        progress(0, 1, "opening the tables")
        source = self._source()
        with session(self._master) as spark:
            return _FITS[name](
                engine,
                logs,
                config.of(name),
                config.seed,
                progress,
                spark=spark,
                histories=lambda: _histories(engine, spark, source, logs, config),
            )

    def segments(
        self, engine: Engine, logs: Logs, space: Space, config: Config, progress: Progress
    ) -> Segments:
        """See :meth:`~gpu_coldstart.data.dataset.Dataset.segments`; maybe of users in executors.

        Not where the driver holds all warm users, from whom it learns the same.
        """
        if config.spark.spaces == "driver" or not config.split.warm_users:
            return super().segments(engine, logs, space, config, progress)
        progress(0, 1, "opening the tables")
        source = self._source()
        with session(self._master) as spark:
            histories = _histories(engine, spark, source, logs, config)
            parameters = config.of(space.name)
            with _USERS[space.name](engine, logs, space, parameters, histories) as users:
                return segments(
                    engine, logs, space, config, progress, users=users, held=histories.held
                )


def _histories(
    engine: Engine,
    spark: SparkSession,
    source: Mapping[str, Interactions],
    logs: Logs,
    config: Config,
) -> Histories:
    """What all warm users did, by the numbers that the logs give entities."""
    loaded, frame = _opened(engine, spark, source)
    counting = Counting(numbers(frame), config.segments.popularity_days)
    users, entities = Registered.of(engine, loaded), Entities.of(engine, logs)
    events = counting.histories(engine, loaded, config.split, users, entities)
    held = engine.lookup(logs.user_ids[logs.users("warm")], users.ids)
    return Histories(events, engine.to_host(held))


def _opened(
    engine: Engine, spark: SparkSession, source: Mapping[str, Interactions]
) -> tuple[tables.Tables, DataFrame]:
    """The tables of the driver, checked, with no more of interactions than a sample; and these."""
    frame = _interactions(spark, source["interactions"])
    read = tables.read_all(engine, {**source, "interactions": schema_sample(frame)})
    # Of the sample, only what columns it has counts; its values are checked with all.
    refuse([each for each in read.problems if each.row is None or each.table != "interactions"])
    return tables.Tables.of(read), frame


def _collected(name: str, frame: Any) -> pa.Table:
    if isinstance(frame, DataFrame):
        wanted = [field.name for field in SCHEMAS[name] if field.name in frame.columns]
        return frame.select(wanted).toArrow()
    return to_arrow(name, frame)


def _interactions(spark: SparkSession, source: Interactions) -> DataFrame:
    """The interactions as a DataFrame."""
    if isinstance(source, DataFrame):
        return source
    if isinstance(source, pa.Table):
        return spark.createDataFrame(_for_spark(source))
    if source.suffix == ".csv":
        raise UserError(
            f"{source} is a CSV file, which has no types: for Spark, write it as Parquet with "
            f"{contents('interactions')}"
        )
    # Names of folders are not data, and those with brackets are no patterns.
    place = re.sub(r"([][{}*?\\])", r"\\\1", str(source.absolute()))
    return spark.read.option("recursiveFileLookup", "true").parquet(f"file://{place}")


def _for_spark(table: pa.Table) -> pa.Table:
    """The same values in types that Spark has.

    Moments without a zone are in UTC; Spark would take them to be in the session's.
    """
    for place, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_timestamp(kind):
            kind = pa.timestamp("us", "UTC")
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        elif pa.types.is_unsigned_integer(kind):
            kind = pa.decimal128(20)  # which holds every uint64
        if kind != field.type:
            column = table.column(place).cast(kind, safe=False)
            table = table.set_column(place, field.name, column)
    return table
