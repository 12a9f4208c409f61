"""The evaluation's tables: their columns, and how rows become one.

A table is a dict of column name to list. None means unknown or not applicable;
fractions are fractions, not per cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import pyarrow as pa

from gpu_coldstart.evaluation.protocol import MEASURES, Place, Row, Summary

__all__ = [
    "NETWORK",
    "SCHEMAS",
    "Table",
    "arrays",
    "assemble",
    "results",
    "rows_of",
]

Table: TypeAlias = dict[str, list[Any]]


def _of(kind: Any, names: str) -> dict[str, Any]:
    """Columns of one type, their names separated by spaces."""
    return dict.fromkeys(names.split(), kind)


_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
_IDS, _TEXTS = pa.list_(pa.int64()), pa.list_(pa.string())
_MEASURED = {**_of(_TEXT, "space strategy"), "k": _INT, "measure": _TEXT}
_EXPOSED = {
    **_of(_REAL, "p5 p25 p50 p75 p95 mean share_top_100 share_top_1000 share_top_5000"),
    **_of(_REAL, "coverage gini novelty"),
}
_GROUP = {"group": _TEXT, **_of(_INT, "order users"), **_of(_REAL, "mean low high")}

SCHEMAS: dict[str, dict[str, Any]] = {
    "results": {**_MEASURED, "users": _INT, **_of(_REAL, "mean std low high")},
    "sizes": {**_of(_TEXT, "what cohort"), **_of(_INT, "least most users")},
    "comparisons": {
        "space": _TEXT,
        "k": _INT,
        **_of(_TEXT, "measure strategy_a strategy_b"),
        **_of(_REAL, "difference low high p_bootstrap p_wilcoxon p_holm"),
    },
    "strata": {**_MEASURED, "by": _TEXT, **_GROUP},
    "examples": {
        **_of(_TEXT, "space strategy"),
        **_of(_INT, "user k wanted"),
        **_of(_TEXT, "group country age_class"),
        "did": _TEXTS,
        "track_ids": _IDS,
        "tracks": _TEXTS,
        "hits": pa.list_(_INT),
        **_of(_TEXTS, "segments signals parts"),
        **_of(pa.list_(_REAL), "segment_shares signal_shares part_shares"),
    },
    "exposure": {
        **_of(_TEXT, "space strategy"),
        "k": _INT,
        "country": _TEXT,
        "users": _INT,
        **_EXPOSED,
    },
    "discovery": {
        **_of(_TEXT, "space strategy"),
        "discovery": _REAL,
        "k": _INT,
        "country": _TEXT,
        "users": _INT,
        "ndcg": _REAL,
        **_EXPOSED,
    },
    "segments": {
        "space": _TEXT,
        **_of(_INT, "segment size"),
        **_of(_TEXT, "country age_class"),
        "genres": _TEXTS,
        "track_ids": _IDS,
        "track_titles": _TEXTS,
        "track_probabilities": pa.list_(_REAL),
        "playlist_ids": _IDS,
        "playlist_titles": _TEXTS,
        "playlist_probabilities": pa.list_(_REAL),
    },
    "segment-quality": {
        **_of(_TEXT, "space strategy"),
        **_of(_INT, "k segment"),
        "description": _TEXT,
        "users": _INT,
        **_of(_REAL, "mean low high"),
    },
    "calibration": {**_of(_TEXT, "space cohort against"), **_GROUP},
    "learning": {
        **_of(_TEXT, "space trained"),
        "epoch": _INT,
        **_of(_REAL, "train_loss validation_cosine validation_ndcg"),
        "kept": pa.bool_(),
    },
    "experts": {**_of(_TEXT, "space strategy expert"), "added": _REAL, "kept": pa.bool_()},
    "blends": {**_of(_TEXT, "space strategy"), "users": _INT, **_of(_REAL, "ndcg single")},
    "weights": {**_of(_TEXT, "space strategy kind name feature"), "weight": _REAL},
    "new-releases": {
        **_of(_TEXT, "space new source"),
        **_of(_INT, "tracks users wanted k"),
        "ranked_by": _TEXT,
        **_of(_REAL, "cosine recall among listed"),
    },
    "replay": {
        **_of(_TEXT, "space design measure arm"),
        **_of(_INT, "users displays successes"),
        **_of(_REAL, "rate low high relative relative_low relative_high"),
        **_of(_REAL, "p_value p_holm p_sample_ratio"),
    },
}
"""Columns and their Arrow types, table by table."""

NETWORK = "network"
"""What stands in ``learning.trained`` for the network; for a strategy's own state, its name."""


def _typed(values: list[Any], kind: pa.DataType) -> pa.Array:
    """A column; lists of ids have the type of the data set's ids."""
    if kind is _IDS and any(isinstance(one, str) for ids in values for one in ids or ()):
        kind = pa.list_(_TEXT)
    return pa.array(values, kind)


def arrays(name: str, table: Table) -> dict[str, pa.Array]:
    """The columns of a table as Arrow arrays of its types."""
    return {column: _typed(table[column], kind) for column, kind in SCHEMAS[name].items()}


def assemble(name: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows as the columns of a table, with the same types as after reading it back."""
    rows = list(rows)
    table = {column: [row[column] for row in rows] for column in SCHEMAS[name]}
    return {column: values.to_pylist() for column, values in arrays(name, table).items()}


def rows_of(table: Table) -> list[dict[str, Any]]:
    """A table row by row."""
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def results(
    rows: Sequence[Row], textbook: Iterable[tuple[Place, Summary]] = ()
) -> list[dict[str, Any]]:
    """The results table in long form: a row for each measure.

    Parameters
    ----------
    rows : sequence of Row
        The paper's measures.
    textbook : iterable of (Place, Summary)
        Further measures of the same lists; they follow the paper's.
    """
    further: dict[tuple[str, str, int], list[tuple[str, Summary]]] = {}
    for place, summary in textbook:
        of_list = further.setdefault((place.space, place.strategy, place.k), [])
        of_list.append((place.measure, summary))
    return [
        {
            "space": row.space,
            "strategy": row.strategy,
            "k": row.k,
            "measure": measure,
            "users": row.users,
            **asdict(summary),
        }
        for row in rows
        for measure, summary in (
            *((measure, getattr(row, measure)) for measure in MEASURES),
            *further.get((row.space, row.strategy, row.k), ()),
        )
    ]
