"""A data set whose interactions stay where they are: Spark counts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import tables
from gpu_coldstart.data.contract import SCHEMAS, contents
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.problems import refuse
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.distributed.checks import checked, schema_sample
from gpu_coldstart.distributed.counting import Counting
from gpu_coldstart.distributed.sessions import session
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces import Progress

__all__ = ["SparkDataset"]

Interactions: TypeAlias = Path | pa.Table | DataFrame


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
                "Spark counts interactions, and this data set has none: leave out --engine spark"
            )
        return cls(
            dataset._source,
            f"{dataset._description}, on Spark",
            master=master,
            files=dataset.files,
            parameters=dataset.parameters,
        )

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
        source = dict(self._source())
        with session(self._master) as spark:
            frame = _interactions(spark, source["interactions"])
            progress(1, 3, "reading and checking")
            source["interactions"] = schema_sample(frame)
            read = tables.read_all(engine, source)
            # Of the sample, only what columns it has counts; its values are checked with all.
            refuse(
                [each for each in read.problems if each.row is None or each.table != "interactions"]
            )
            loaded = tables.Tables.of(read)
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
