"""What a comparison of runs came to, in a sentence for each run but the first."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import counted, interval, percent
from gpu_coldstart.reporting.labels import MEASURE_LABELS, space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, lines_of, where
from gpu_coldstart.reporting.table_grids import LEVEL

__all__ = ["comparison_verdict"]

_MEASURE = "ndcg"


def comparison_verdict(names: Sequence[str], table: Table) -> list[str]:
    """Whether each run is better or worse than the first, at the longest list in common.

    Parameters
    ----------
    names : sequence of str
        Of the runs, the first one first.
    table : Table
        Of :func:`gpu_coldstart.reporting.comparison.compare`.
    """
    lines = where(lines_of(table), measure=_MEASURE, k=max(table["k"]))
    return [_sentence(names[0], name, where(lines, run=name)) for name in names[1:]]


def _sentence(first: str, name: str, lines: Sequence[Line]) -> str:
    tested = [line for line in lines if line["difference"] is not None]
    if not any(line["difference"] for line in tested):
        return f"{name} recommends as well as {first} in everything that both have, to the digit."
    best = max(tested, key=lambda line: float(line["mean"]))
    sure = [line for line in tested if line["p_holm"] < LEVEL]
    better = sum(line["difference"] > 0 for line in sure)
    counts = f"{better} are significantly better and {len(sure) - better} worse"
    chance = "" if best in sure else ", which may be chance"
    return (
        f"{name}: {strategy_name(best['strategy'])} ({space_name(best['space'])}), the best that "
        f"both have, has an {MEASURE_LABELS[_MEASURE]}@{best['k']} of {percent(best['mean'])} %, "
        f"{percent(best['difference'], sign=True)} points {interval(best['low'], best['high'])} "
        f"against {first}{chance}; of {counted(len(tested), 'list')} (strategies by spaces), "
        f"{counts if sure else 'none differs significantly'}."
    )
