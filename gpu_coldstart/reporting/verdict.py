"""What came of a run, in a few sentences that stand before everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gpu_coldstart.evaluation.groups import EVERYWHERE, FEWEST, SMALLER
from gpu_coldstart.evaluation.protocol import Row, best_of
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import number, percent
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, lines_of, where
from gpu_coldstart.reporting.table_grids import LEVEL

__all__ = ["verdict"]

_CHART, _PAPERS = "popularity", "semi"
_MEASURE = "ndcg"


def verdict(rows: Sequence[Row], tables: Mapping[str, Table]) -> list[str]:
    """Who is ahead and by how much, for whom it matters, and what the lists look like.

    Parameters
    ----------
    rows : sequence of Row
    tables : mapping of name to table
        Of the evaluation; without them there is only the first sentence.

    Returns
    -------
    list of str
        The highest NDCG at the longest list decides who is ahead.
    """
    best = best_of(rows)
    k = best.k
    head = (
        f"{strategy_name(best.strategy)} ({space_name(best.space)}) is ahead, with an NDCG@{k} of "
        f"{percent(best.ndcg.mean)} %"
    )
    said = [f"{': '.join([head, *_ahead_of(best, rows, tables)])}".removesuffix(".") + "."]
    lines = {name: lines_of(tables.get(name, {})) for name in ("strata", "exposure")}
    if best.strategy != _CHART:
        said += _for_whom(best, where(lines["strata"], by="interactions", k=k, measure=_MEASURE))
    said += _looks(where(lines["exposure"], space=best.space, strategy=best.strategy))
    return said


def _ahead_of(best: Row, rows: Sequence[Row], tables: Mapping[str, Table]) -> Iterator[str]:
    """How far the best is ahead of the chart and of the paper's way, in its space."""
    tested = where(
        lines_of(tables.get("comparisons", {})), space=best.space, k=best.k, measure=_MEASURE
    )
    others = [
        row
        for row in rows
        if (row.space, row.k) == (best.space, best.k)
        and row.strategy in {_CHART, _PAPERS} - {best.strategy}
        and row.ndcg.mean > 0
    ]
    if others:
        yield ", and ".join(_more_than(other, best, tested) for other in others)


def _more_than(other: Row, best: Row, tested: Sequence[Line]) -> str:
    base = other.ndcg.mean
    text = f"{_share(best.ndcg.mean - base, base)} %"
    for line in tested:
        if {line["strategy_a"], line["strategy_b"]} != {best.strategy, other.strategy}:
            continue
        ends = sorted((line["low"], line["high"]))
        if line["strategy_a"] != best.strategy:
            ends = [-end for end in reversed(ends)]
        text += f" [{_share(ends[0], base)}, {_share(ends[1], base)}]"
        if line["p_holm"] >= LEVEL:
            return f"{text}, which may be chance, more than {strategy_name(other.strategy)}"
    return f"{text} more than {strategy_name(other.strategy)}"


def _share(part: float, of: float) -> str:
    return number(100 * part / of, 0)


def _for_whom(best: Row, lines: Sequence[Line]) -> Iterator[str]:
    """How much users gain who did nothing, or most, on their first day."""
    gains = []
    mine = where(lines, space=best.space, strategy=best.strategy)
    for line in sorted(mine, key=lambda line: int(line["order"])):
        for chart in where(lines, space=best.space, strategy=_CHART, group=line["group"]):
            if chart["mean"] > 0 and line["users"] >= FEWEST and line["group"] != SMALLER:
                gains.append((line, 100 * (line["mean"] / chart["mean"] - 1)))
    if len(gains) > 1:
        (first, least), (last, most) = gains[0], gains[-1]
        yield (
            f"Over {strategy_name(_CHART)}, the {first['users']} test users with "
            f"{_events(first['group'])} on their first day gain {number(least, 0)} %, the "
            f"{last['users']} with {_events(last['group'])} {number(most, 0)} %."
        )


def _events(group: str) -> str:
    return "no event" if group == "none at all" else f"{group} events"


def _looks(lines: Sequence[Line]) -> Iterator[str]:
    """How much of the catalogue is recommended, and how much of it is the chart."""
    for line in where(lines, country=EVERYWHERE):
        yield (
            f"Its lists show {number(100 * line['coverage'], 0)} % of all tracks; "
            f"{number(100 * line['share_top_100'], 0)} % of their places go to the 100 most "
            "popular."
        )
