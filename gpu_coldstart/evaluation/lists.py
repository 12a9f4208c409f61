"""Evaluate any recommendations against any truth, without a run: :func:`evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from gpu_coldstart.config.base import MOST, Natural
from gpu_coldstart.config.parameters import EvaluationConfig
from gpu_coldstart.config.problems import shown, worded
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.comparisons import comparisons
from gpu_coldstart.evaluation.measures import MEASURES, TEXTBOOK, among, user_measures
from gpu_coldstart.evaluation.protocol import Protocol, Sample

__all__ = ["Evaluation", "evaluate"]

_LISTS = ("user_id", "rank", "track_id")
_TRUTH = ("user_id", "track_id")
_ALONE = "recommendations"
"""Strategy name of lists given without one."""


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` returns; fractions are fractions, not per cent.

    Attributes
    ----------
    per_user : pyarrow.Table
        ``strategy``, ``k``, ``user_id`` and a column for each measure
        (:data:`~gpu_coldstart.evaluation.measures.MEASURES`, then
        :data:`~gpu_coldstart.evaluation.measures.TEXTBOOK`).
    summary : pyarrow.Table
        ``strategy``, ``k``, ``measure``, ``users``, ``mean``, ``std`` (of the means over parts of
        the users) and ``low`` to ``high``, the 95 % bootstrap interval of the mean.
    comparisons : pyarrow.Table
        ``k``, ``measure``, ``strategy_a``, ``strategy_b``, the mean ``difference`` a - b with its
        interval ``low`` to ``high``, ``p_bootstrap``, ``p_wilcoxon`` and ``p_holm``
        (:func:`gpu_coldstart.evaluation.comparisons.comparisons`), in the paper's measures. Empty
        for a single strategy.
    not_measured : dict of strategy to int
        Users with a list but without truth; they are left out.
    without_list : dict of strategy to int
        Users with truth but without a list; they count as 0 in every measure.
    """

    per_user: pa.Table
    summary: pa.Table
    comparisons: pa.Table
    not_measured: dict[str, int]
    without_list: dict[str, int]

    def to_markdown(self) -> str:
        """The summary as a Markdown table for each k, in per cent, mean ± standard deviation."""
        from gpu_coldstart.reporting.results import measures_markdown

        return measures_markdown(self.summary.to_pylist())


def evaluate(
    lists: Any,
    truth: Any,
    *,
    k: int | Sequence[int] = 50,
    folds: int = 10,
    bootstrap: int = 1000,
    seed: int = 0,
    deviation: str = "disjoint",
) -> Evaluation:
    """Measure recommendations against what users went on to play.

    A frame is a pyarrow Table, anything else with ``__arrow_c_stream__`` (pandas, polars, DuckDB),
    or a dict of columns. Ids are integers or strings. The order of rows does not matter.

    Precision is the paper's, hits over min(K, tracks to be found); ``textbook_precision``, hits
    over K, stands beside it.

    Parameters
    ----------
    lists : frame, or dict of strategy name to frame
        Columns ``user_id``, ``rank`` and ``track_id``; a user's list is ordered by ``rank``. In a
        list shorter than ``k``, the missing ranks count as misses.
    truth : frame
        Columns ``user_id`` and ``track_id``: the relevant tracks. All its users are measured.
    k : int or sequence of int
        Lengths of list to measure at.
    folds, bootstrap, deviation
        See :class:`gpu_coldstart.config.parameters.EvaluationConfig`.
    seed : int
        Of parts and resamples.

    Raises
    ------
    UserError
        For an impossible option, a frame without one of its columns, an empty cell, ids of another
        kind than the truth's, a rank or a track that a user has twice, or a truth without rows.

    Examples
    --------
    >>> truth = {"user_id": ["ann", "ann", "bob"], "track_id": ["x", "y", "z"]}
    >>> lists = {"user_id": ["ann", "ann", "bob", "bob"], "rank": [1, 2, 1, 2],
    ...          "track_id": ["x", "q", "y", "z"]}
    >>> result = evaluate(lists, truth, k=2)
    >>> result.per_user.select(["user_id", "precision", "mrr"]).to_pylist()
    [{'user_id': 'ann', 'precision': 0.5, 'mrr': 1.0}, {'user_id': 'bob', 'precision': 1.0, \
'mrr': 0.5}]
    >>> result.summary.to_pylist()[0]["mean"]
    0.75
    """
    ks = _lengths(k)
    options = _options(folds=folds, bootstrap=bootstrap, seed=seed, deviation=deviation)
    known = _Truth(_frame(truth, "truth", _TRUTH))
    protocol = Protocol(len(known.users), **options)
    measures, not_measured, without_list = _measure(lists, known, ks)
    sample = protocol.sample(measures, ks, (*MEASURES, *TEXTBOOK))
    return Evaluation(
        _per_user(measures, ks, known.users),
        _summary(protocol, sample, len(known.users)),
        _comparisons(sample),
        not_measured,
        without_list,
    )


def _measure(
    lists: Any, known: _Truth, ks: list[int]
) -> tuple[dict[tuple[str, str], HostArray], dict[str, int], dict[str, int]]:
    """Measures [K, measure, users] of each strategy, its strangers, and users without a list."""
    named = lists if _is_named(lists) else {_ALONE: lists}
    if not named:
        raise UserError("there are no lists to evaluate: give at least one")
    measures, not_measured, without_list = {}, {}, {}
    for name, frame in named.items():
        hits, strangers, listed = known.hits(_frame(frame, f"lists {name!r}", _LISTS), name, ks[-1])
        by_k = [user_measures(hits, known.sizes, length) for length in ks]
        measures["", name] = np.array([[*each.values()] for each in by_k])
        not_measured[name], without_list[name] = strangers, len(known.users) - listed
    return measures, not_measured, without_list


def _lengths(k: int | Sequence[int]) -> list[int]:
    """Lengths of list, ascending and each once."""
    try:
        ks = np.atleast_1d(np.asarray(k))
    except ValueError:  # lists of different lengths
        ks = np.zeros(0)
    if ks.ndim > 1 or ks.dtype.kind not in "iu" or not len(ks) or ks.min() < 1 or ks.max() > MOST:
        raise UserError(f"k is {shown(k)}: give one or more lengths of list, each 1 or more")
    return [int(each) for each in np.unique(ks)]


class _Options(EvaluationConfig):
    seed: Natural = 0


def _options(**given: Any) -> dict[str, Any]:
    """The options of the protocol, checked like a run's; NumPy's integers are as good as any."""
    plain = {k: int(v) if isinstance(v, np.integer) else v for k, v in given.items()}
    try:
        options = _Options.model_validate(plain)
    except ValidationError as error:
        raise UserError("; ".join(worded(error, dict(_Options())).values())) from error
    return {name: getattr(options, name) for name in given}


def _is_named(lists: Any) -> bool:
    """Whether these are frames by name rather than one frame."""
    return isinstance(lists, Mapping) and not set(_LISTS) & set(lists)


def _frame(frame: Any, name: str, columns: Sequence[str]) -> pa.Table:
    """The columns of a frame, without empty cells; categories and wide types made plain."""
    try:
        table = pa.table(dict(frame) if isinstance(frame, Mapping) else frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserError(
            f"{name}: {type(frame).__name__} is not a table ({error}): give a pyarrow Table, a "
            "data frame, or a dict of columns"
        ) from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise UserError(
            f"{name}: column '{missing[0]}' is missing; it has {', '.join(table.column_names)}"
        )
    return pa.table({column: _plain(table[column], name, column) for column in columns})


def _plain(cells: pa.ChunkedArray, name: str, column: str) -> pa.Array:
    """A column of integers or strings as int64 or string."""
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    if not (pa.types.is_integer(kind) or (text and column != "rank")):
        wanted = "integers" if column == "rank" else "integers or strings"
        raise UserError(f"{name}: column '{column}' holds {kind}, not {wanted}")
    if cells.null_count:
        row = pc.index(cells.is_null(), True).as_py() + 1
        raise UserError(
            f"{name}: column '{column}', row {row} is empty: fill it in or drop the row"
        )
    try:
        plain = cells.cast(kind).cast(pa.string() if text else pa.int64())
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{name}: column '{column}' holds numbers beyond 2**63 - 1: use smaller ones or strings"
        ) from error
    return plain.combine_chunks()


class _Truth:
    """The users and tracks of a truth by number, ascending by id, so that no order of rows counts.

    Attributes
    ----------
    users : pa.Array [users]
    sizes : HostArray [users] of int64
        Distinct tracks of each.
    """

    def __init__(self, truth: pa.Table):
        if not truth.num_rows:
            raise UserError("the truth has no rows: nobody can be measured")
        self._ids = {name: _distinct(truth[name]) for name in _TRUTH}
        self.users = self._ids["user_id"]
        pairs = self._codes(truth["user_id"], "user_id") * self._n_tracks
        self._pairs = np.unique(pairs + self._codes(truth["track_id"], "track_id"))
        self.sizes = np.bincount(self._pairs // self._n_tracks, minlength=len(self.users))

    @property
    def _n_tracks(self) -> int:
        return len(self._ids["track_id"])

    def _codes(self, cells: pa.ChunkedArray, column: str) -> HostArray:
        """Numbers of ids [n] of int64, -1 for what the truth does not have."""
        numbers = pc.index_in(cells, value_set=self._ids[column]).fill_null(-1)
        return cast("HostArray", numbers.to_numpy()).astype(np.int64)

    def hits(self, lists: pa.Table, name: str, longest: int) -> tuple[HostArray, int, int]:
        """Hits [users, longest] of bool; users without truth; users with truth and a list."""
        for column in _TRUTH:
            mine, its = lists[column].type, self._ids[column].type
            if mine != its:
                raise UserError(
                    f"lists {name!r}: column '{column}' holds {mine}, but the truth's holds {its}: "
                    "use the same ids in both"
                )
        _refuse_twice(lists, name, "rank")
        _refuse_twice(lists, name, "track_id")
        users = self._codes(lists["user_id"], "user_id")
        tracks = self._codes(lists["track_id"], "track_id")
        strangers = pc.count_distinct(lists["user_id"].filter(pa.array(users < 0))).as_py()
        order = np.lexsort((lists["rank"].to_numpy(), users))
        order = order[users[order] >= 0]
        users, tracks = users[order], tracks[order]
        lengths = np.bincount(users, minlength=len(self.users))
        places = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        right = among(users * self._n_tracks + tracks, self._pairs) & (tracks >= 0)
        right &= places < longest
        hits = np.zeros((len(self.users), longest), bool)
        hits[users[right], places[right]] = True
        return hits, strangers, int((lengths > 0).sum())


def _distinct(cells: pa.ChunkedArray) -> pa.Array:
    """Distinct values, ascending."""
    values = pc.unique(cells)
    return values.take(pc.sort_indices(values))


def _refuse_twice(lists: pa.Table, name: str, column: str) -> None:
    """Refuse a rank, or a track, that one user has twice."""
    counts = lists.group_by(["user_id", column], use_threads=False).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if twice.num_rows:
        user, value = (twice[key][0].as_py() for key in ("user_id", column))
        raise UserError(
            f"lists {name!r}: user {user!r} has {column} {value!r} twice: each may stand once in "
            "a list"
        )


def _per_user(
    measures: Mapping[tuple[str, str], HostArray], ks: Sequence[int], users: pa.Array
) -> pa.Table:
    parts = [
        pa.table(
            {
                "strategy": pa.array([strategy] * len(users)),
                "k": pa.array([k] * len(users), pa.int64()),
                "user_id": users,
                **dict(zip((*MEASURES, *TEXTBOOK), values[i], strict=True)),
            }
        )
        for (_, strategy), values in measures.items()
        for i, k in enumerate(ks)
    ]
    return pa.concat_tables(parts)


def _summary(protocol: Protocol, sample: Sample, users: int) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "strategy": place.strategy,
                "k": place.k,
                "measure": place.measure,
                "users": users,
                **asdict(summary),
            }
            for place, summary in zip(sample.places, protocol.summaries(sample), strict=True)
        ]
    )


_COMPARED = pa.schema(
    [("k", pa.int64())]
    + [(name, pa.string()) for name in ("measure", "strategy_a", "strategy_b")]
    + [
        (name, pa.float64())
        for name in ("difference", "low", "high", "p_bootstrap", "p_wilcoxon", "p_holm")
    ]
)


def _comparisons(sample: Sample) -> pa.Table:
    return pa.Table.from_pylist(comparisons(sample), schema=_COMPARED)
