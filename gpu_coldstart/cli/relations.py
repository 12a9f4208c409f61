"""``gpu-coldstart relations``: HLR and its rivals on warm users' own tracks.

The protocol: :mod:`gpu_coldstart.evaluation.held_out`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.benchmark import data_set
from gpu_coldstart.cli.run import configured
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.errors import UserError, nearest

if TYPE_CHECKING:
    from gpu_coldstart.config.parameters import Config
    from gpu_coldstart.engine import Engine
    from gpu_coldstart.engine.types import HostArray
    from gpu_coldstart.evaluation.held_out import Task

__all__ = ["EPILOG", "HELP", "SHORT", "relations"]

SHORT = "Compare models of relations in a metric space on warm users' own tracks."
HELP = """\
Hide a fifth of the pairs of warm users and streamed tracks, learn each model of hlr.relation from
the rest, and list the 10 tracks that score highest of those that are not known of the user (the
protocol of Tran et al., RecSys 2021).

It prints a Markdown table: NDCG, recall, MAP and MRR in per cent, and the mean over users of the
median popularity rank in their list (MMR; 1 is the most popular track), each as the mean of five
cohorts of users with the half-width of its 95 % interval; then how much NDCG exceeds that of no
relation, cohort by cohort.
"""
EPILOG = """\
\b
examples:
  gpu-coldstart relations synthetic:tiny --relations none,hlr --set hlr.epochs=60
  gpu-coldstart relations events:logs/2026
"""

_HEAD = ("relation", "epochs", "NDCG@10", "recall", "MAP", "MRR", "MMR", "NDCG against none")


def relations(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Data set: NAME, NAME:PRESET or NAME:DIR.")
    ],
    *,
    names: Annotated[
        str | None, options.text("--relations", "A,B", "Which (default: every one).")
    ] = None,
    least: Annotated[
        Any,
        options.integer("--least", "N", "Of users and tracks, of each other (default: 5)."),
    ] = 5,
    seed: Annotated[Any, options.integer("--seed", "N", "Of all draws (default: 0).")] = 0,
    config: Annotated[Path | None, options.path("--config", "FILE.toml", "Settings.")] = None,
    assignments: Annotated[
        list[str] | None,
        options.text("--set", "KEY=VALUE", "One setting, such as hlr.epochs; may be repeated."),
    ] = None,
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
) -> int:
    """Print the table, a row as soon as it is there; returns the exit status."""
    from gpu_coldstart.engine import choose

    wanted = _chosen(names)
    settings = options.assigned(assignments or []) | data_set(data) | {"seed": seed}
    asked = configured([config] if config else [], settings)
    chosen, reason = choose(engine, device=device)
    console.write(reason)
    try:
        with enough_memory(chosen), interruption.work():
            task = _task(chosen, asked, least)
            console.write(
                f"{task.known.shape[0]} warm users, {task.known.shape[1]} tracks, "
                f"{task.known.nnz} known pairs, {task.hidden.nnz} hidden\n"
            )
            for row in _rows(chosen, task, asked, wanted):
                console.write(f"| {' | '.join(row)} |")
    except interruption.Interrupted as signal:
        console.warn(str(signal))
        return signal.status
    return 0


def _chosen(names: str | None) -> tuple[str, ...]:
    """The models that are asked for."""
    from gpu_coldstart.spaces.relations import RELATIONS

    wanted = tuple(names.split(",")) if names else tuple(RELATIONS)
    for name in wanted:
        if name not in RELATIONS:
            raise UserError(f"there is no relation {name!r}: {nearest(name, tuple(RELATIONS))}")
    return wanted


def _task(engine: Engine, config: Config, least: int) -> Task:
    """What warm users streamed, a part of it hidden."""
    import numpy as np
    from scipy import sparse

    from gpu_coldstart.evaluation.held_out import task
    from gpu_coldstart.registry import DATASETS

    dataset = DATASETS.get(config.dataset).open(config)
    logs, _ = dataset.index(engine, config, lambda *_: interruption.check(), tested=False)
    history = logs.history
    indptr, indices = engine.to_host(history.indptr), engine.to_host(history.indices)
    streamed = sparse.csr_array((np.ones(len(indices)), indices, indptr), history.shape)
    return task(streamed, least=least, seed=config.seed)


def _rows(
    engine: Engine, task: Task, config: Config, names: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Head, rule and rows of the table."""
    from gpu_coldstart.evaluation import held_out
    from gpu_coldstart.spaces.hlr import learn

    yield _HEAD
    yield ("---", *["---:"] * (len(_HEAD) - 1))
    yield "popularity", "", *_cells(held_out.by_cohort(task, held_out.by_popularity(task))), ""
    known, plain = held_out.matrix(engine, task.known), None
    for name in names:
        parameters = config.hlr.replace(relation=name)
        space = learn(engine, known, parameters, config.seed, lambda *_: interruption.check())
        scores = held_out.by_relation(engine, task, space, config.seed)
        found = held_out.by_cohort(task, scores)
        plain = found[:, 0] if name == "none" else plain
        against = "" if plain is None or name == "none" else _shown(100 * (found[:, 0] - plain))
        epochs = str(min(range(len(space.losses)), key=space.losses.__getitem__) + 1)
        yield name, epochs, *_cells(found), against


def _cells(found: HostArray) -> tuple[str, ...]:
    """The measures [cohorts, measures], the last of them a rank."""
    shares = (_shown(100 * column) for column in found.T[:-1])
    return *shares, _shown(found.T[-1], 0)


def _shown(values: HostArray, digits: int = 2) -> str:
    """Mean and half-width of the interval of the values of the cohorts."""
    from gpu_coldstart.evaluation.held_out import interval

    mean, width = interval(values)
    return f"{mean:.{digits}f} ± {width:.{digits}f}"
