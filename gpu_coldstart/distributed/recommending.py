"""Lists for any number of users: the bundle goes to the executors, and users are dealt out."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql.functions import expr
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from gpu_coldstart.coldstart import ColdStart
from gpu_coldstart.data.contract import SCHEMAS
from gpu_coldstart.distributed.sessions import refused
from gpu_coldstart.errors import UserError

__all__ = ["recommend"]


def recommend(
    bundle: str | Path,
    users: DataFrame,
    interactions: DataFrame | None = None,
    *,
    engine: str = "auto",
    batch: int = 10_000,
    **options: Any,
) -> DataFrame:
    """Rank tracks for users, as :meth:`gpu_coldstart.ColdStart.recommend`, in the executors.

    Every executor needs this package installed; the bundle is sent to each once. Lists are the same
    as on one machine, whoever is dealt out together.

    Parameters
    ----------
    bundle : path
        What :meth:`gpu_coldstart.ColdStart.save` or ``gpu-coldstart export`` wrote, on the driver.
    users, interactions : DataFrame
        With the columns that :meth:`gpu_coldstart.ColdStart.recommend` takes.
    engine : str
        Of the executors: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    batch : int
        About how many users are held at a time, with their events, by one task.
    **options : dict
        ``k``, ``strategy``, ``explain`` and ``exclude_seen``.

    Returns
    -------
    DataFrame
        The columns of :meth:`gpu_coldstart.ColdStart.recommend`, a user's tracks in the order of
        their rank, users in none. Written with ``.write.mode("overwrite").parquet(...)``, it can be
        written again after any failure, and has a ``_SUCCESS`` file once it is whole.

    Raises
    ------
    UserError
        For a bundle, options or a first user that cannot be used. What is wrong with others shows
        once the lists are computed: run that within
        :func:`gpu_coldstart.distributed.refused`, which turns it into a :class:`UserError`, too.
    """
    place = Path(bundle).resolve()
    with refused():
        users = _contract("users", users)
        first = users.limit(1).toArrow()
        if not first.num_rows:
            raise UserError("users has no rows: give at least one user")
        sample = ColdStart.load(place, engine="cpu").recommend(first, **options)
        schema = from_arrow_schema(sample.schema)
        arrow = to_arrow_schema(schema)
        spark = users.sparkSession
        key, packed = uuid4().hex, spark.sparkContext.broadcast(_packed(place))
        groups = users.count() // batch + 1

    def lists(users: pa.Table, interactions: pa.Table | None) -> pa.Table:
        if not users.num_rows:  # events of users who are not asked for
            return arrow.empty_table()
        model = _loaded(key, packed, engine)
        return model.recommend(users, interactions, **options).cast(arrow)

    group = expr(f"pmod(xxhash64(user_id), {groups})")
    dealt = users.groupBy(group)
    if interactions is None:
        return dealt.applyInArrow(lambda users: lists(users, None), schema)
    events = _contract("interactions", interactions).groupBy(group)
    # Spark counts the parameters of what it is given.
    return dealt.cogroup(events).applyInArrow(lambda users, events: lists(users, events), schema)


_models: dict[str, ColdStart] = {}
"""In a process of Spark's, the model that it has read last."""


def _packed(place: Path) -> bytes:
    """A directory as one archive, as Spark sends files only, to whom the driver is another host."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(place, arcname=".")
    return buffer.getvalue()


def _loaded(key: str, packed: Broadcast[bytes], engine: str) -> ColdStart:
    """The model, read once by each process of Spark's."""
    if key not in _models:
        _models.clear()
        with TemporaryDirectory() as place:
            with tarfile.open(fileobj=BytesIO(packed.value)) as archive:
                archive.extractall(place, filter="data")
            _models[key] = ColdStart.load(place, engine=engine)
    return _models[key]


def _contract(table: str, frame: DataFrame) -> DataFrame:
    """The columns that the contract knows."""
    if "user_id" not in frame.columns:
        raise UserError(f"{table} has no column 'user_id': add it, or rename the one that holds it")
    return frame.select([rule.name for rule in SCHEMAS[table] if rule.name in frame.columns])
