"""The data contract of interactions, asked of every row by Spark.

Spark counts the rows that break a rule and sends one of each here, where the same code looks at it
as on one machine, and finds the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import or_

import pyarrow as pa
from pyspark.sql import Column, DataFrame, types
from pyspark.sql import functions as fn

from gpu_coldstart.data import tables
from gpu_coldstart.data.contract import ACTIONS, ENTITIES, ID, INTEGER, SCHEMAS, TIME, Field
from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.problems import Problem, refuse
from gpu_coldstart.engine.base import Engine

__all__ = ["checked", "numbers", "schema_sample"]

_INTEGER = "^(0|-?[1-9][0-9]*)$"


def schema_sample(frame: DataFrame) -> pa.Table:
    """One row, if there is any, from which to tell columns and their types."""
    return _contract(frame).limit(1).toArrow()


def _contract(frame: DataFrame) -> DataFrame:
    """The columns that the contract knows, or all where one that it needs is missing."""
    fields = SCHEMAS["interactions"]
    if any(rule.required and rule.name not in frame.columns for rule in fields):
        return frame  # the error lists what there is instead
    return frame.select([rule.name for rule in fields if rule.name in frame.columns])


def checked(engine: Engine, frame: DataFrame, ids: Ids) -> DataFrame:
    """Interactions as :func:`numbers`, once every value is found to be possible.

    Parameters
    ----------
    frame : DataFrame
        With the columns and types of the contract.

    Raises
    ------
    UserError
        With the number of rows that break each rule, and one of them.
    """
    frame = _contract(frame)
    rules = {rule.name: rule for rule in SCHEMAS["interactions"] if rule.name in frame.columns}
    broken = {name: _broken(frame, rule, ids) for name, rule in rules.items()}
    counts = frame.agg(*(fn.count_if(bad).alias(name) for name, bad in broken.items())).first()
    found = {} if counts is None else {name: rows for name, rows in counts.asDict().items() if rows}
    if found:
        refuse(_problems(engine, frame, {name: broken[name] for name in found}, found, ids))
    return numbers(frame)


def _broken(frame: DataFrame, rule: Field, ids: Ids) -> Column:
    """Where a column breaks its rule."""
    return fn.coalesce(reduce(or_, _faults(frame, rule, ids)), fn.expr("false"))


def _faults(frame: DataFrame, rule: Field, ids: Ids) -> Iterator[Column]:
    """What may be wrong with a value; null or false where it is not."""
    value, kind = fn.col(rule.name), frame.schema[rule.name].dataType
    text = isinstance(kind, types.StringType)
    yield value.isNull()
    if rule.kind is TIME:
        yield ~_micros(frame, rule.name).between(fn.lit(rule.low), fn.lit(rule.high))
    elif rule.choices:
        yield ~value.isin(*rule.choices)
    elif rule.kind in (INTEGER, ID) and not text:
        whole = value.try_cast("bigint")
        yield whole.isNull() | (whole != value)
        if rule.low is not None:
            yield whole < rule.low
    if rule.space == "entity" and (strange := _other_sort(ids, text=text)):
        mine = fn.col("entity").isin(*strange)
        yield mine & ~_is_integer(value) if text else mine


def _other_sort(ids: Ids, *, text: bool) -> list[str]:
    """Kinds of entities whose ids are integers where the column is text, or the other way round."""
    if text:
        return [kind for kind in ENTITIES if kind not in (*ids.strings, *ids.unowned)]
    return [kind for kind in ENTITIES if kind in ids.strings]


def _is_integer(text: Column) -> Column:
    """Whether strings write an int64 in the one way there is."""
    return text.rlike(_INTEGER) & text.try_cast("bigint").isNotNull()


def _problems(
    engine: Engine, frame: DataFrame, broken: dict[str, Column], rows: dict[str, int], ids: Ids
) -> list[Problem]:
    """What is wrong, in the words of one machine, by one row for each column."""
    row = fn.struct(*frame.columns)
    examples = frame.agg(
        *(
            fn.min_by(row, fn.when(bad, fn.xxhash64(row))).alias(name)
            for name, bad in broken.items()
        )
    ).toArrow()
    problems = []
    for name in broken:
        example = pa.Table.from_struct_array(examples[name].combine_chunks())
        read = tables.read(engine, {"interactions": example}, known=ids)
        problems += [
            replace(problem, row=None, rows=rows[name])
            for problem in read.problems
            if problem.column == name
        ][:1]
    return problems


def _micros(frame: DataFrame, name: str) -> Column:
    """Microseconds since 1970 (UTC), whatever the session's time zone."""
    kind = frame.schema[name].dataType
    if isinstance(kind, types.DateType):
        return (
            fn.datediff(fn.col(name), fn.lit("1970-01-01").cast("date")).cast("bigint")
            * 86_400_000_000
        )
    if isinstance(kind, types.TimestampNTZType):
        return fn.expr(f"timestampdiff(MICROSECOND, TIMESTAMP_NTZ'1970-01-01', `{name}`)")
    return fn.unix_micros(fn.col(name))


def numbers(frame: DataFrame) -> DataFrame:
    """Interactions that were found to be sound, as numbers.

    Returns
    -------
    DataFrame
        ``user_id``, ``entity_id`` : as they were, if strings, else bigint; ``micros`` : bigint,
        since 1970 (UTC); ``action``, ``entity`` : int codes into ACTIONS and ENTITIES; ``count`` :
        bigint.
    """

    def identity(name: str) -> Column:
        text = isinstance(frame.schema[name].dataType, types.StringType)
        return fn.col(name) if text else fn.col(name).cast("bigint")

    def code(name: str, words: tuple[str, ...]) -> Column:
        return fn.array_position(fn.array(*map(fn.lit, words)), fn.col(name)).cast("int") - 1

    count = fn.col("count").cast("bigint") if "count" in frame.columns else fn.lit(1).cast("bigint")
    return frame.select(
        identity("user_id").alias("user_id"),
        identity("entity_id").alias("entity_id"),
        _micros(frame, "timestamp").alias("micros"),
        code("action", ACTIONS).alias("action"),
        code("entity", ENTITIES).alias("entity"),
        count.alias("count"),
    )
