"""What a search says and leaves: ``trials.csv`` and ``best.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import adjusted, to_toml
from gpu_coldstart.evaluation.protocol import interval, resampled_means
from gpu_coldstart.registry import section
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.reporting.blocks import counted, percent, setting_text
from gpu_coldstart.reporting.blocks import interval as interval_text
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.runs.artifacts import read_table, write_atomically
from gpu_coldstart.runs.tables import csv_bytes
from gpu_coldstart.tuning.components import Component
from gpu_coldstart.tuning.study import Entry, Study

__all__ = [
    "BEST",
    "TABLE",
    "TRIALS",
    "Gain",
    "gain",
    "intention",
    "journal",
    "line",
    "of_users",
    "summary",
    "tuned",
    "write_settings",
]

TRIALS = "trials"
"""Folder of the journals and of what single trials left."""

TABLE = "trials.csv"
BEST = "best.toml"


def journal(out: Path, name: str) -> Path:
    """Where the trials of a part are noted."""
    return out / TRIALS / f"{name}.log"


def of_users(out: Path, name: str, trial: int) -> Path:
    """Where each validation user's NDCG in a trial is."""
    return out / TRIALS / name / f"{trial}.parquet"


# -- words -------------------------------------------------------------------------------------


def intention(part: Component, done: int, trials: int) -> str:
    """What is about to be searched, and how."""
    begun = f" ({done} are done)" if done else ""
    return (
        f"{part.name}: {counted(trials, 'trial')}{begun}; "
        f"{counted(len(part.ranges), 'setting')}, judged by the lists of "
        f"{strategy_name(part.judge)} in {space_name(part.space)} for the validation users"
    )


def line(entry: Entry) -> str:
    """What came of a trial, in a line."""
    start = f"        trial {entry.number} "
    if entry.state == "failed":
        return f"{start}failed: {entry.note}"
    reached = "" if entry.ndcg is None else f" at NDCG {percent(entry.ndcg)} %"
    epochs = f" after {counted(entry.epochs, 'epoch')}" if entry.epochs else ""
    return f"{start}{entry.state}{reached}{epochs}"


@dataclass(frozen=True)
class Gain:
    """The best trial of a part against the settings as they are configured.

    Attributes
    ----------
    difference : float
        Of NDCG.
    low, high : float or None
        Its 95 % bootstrap interval over the validation users, where each one's NDCG is known.
    """

    difference: float
    low: float | None = None
    high: float | None = None


def gain(out: Path, study: Study, config: Config) -> Gain | None:
    """How much better the best trial is; None as long as one of both is not done."""
    first, best = study.first, study.best
    if first is None or best is None or first.ndcg is None or best.ndcg is None:
        return None
    difference = best.ndcg - first.ndcg
    files = [of_users(out, study.component.name, entry.number) for entry in (best, first)]
    if not all(path.exists() for path in files):
        return Gain(difference)
    mine, its = (read_table(read_bytes(path)).column("ndcg").to_numpy() for path in files)
    each = (mine.astype(np.float64) - its)[None]
    low, high = interval(resampled_means(each, config.evaluation.bootstrap, (config.seed, 1))[0])
    return Gain(difference, float(low), float(high))


def summary(out: Path, config: Config, studies: Mapping[str, Study]) -> str:
    """What the search came to, for the console."""
    lines = []
    for name, study in studies.items():
        first, best = study.first, study.best
        found = gain(out, study, config)
        if first is None or best is None or found is None:
            lines.append(f"{name}: no trial of the settings as they are configured is done yet")
            continue
        lines.append(
            f"{name}: NDCG of the validation users {percent(first.ndcg)} % as configured, "
            f"{percent(best.ndcg)} % at best (trial {best.number} of {study.done}): "
            f"{percent(found.difference, sign=True)} {interval_text(found.low, found.high)}"
        )
        lines += [f"    {key} = {setting_text(value)}" for key, value in best.settings.items()]
    lines.append(
        "The best of several on the users they were compared on flatters itself; what it is worth, "
        "a run says:"
    )
    lines.append(f"    gpu-coldstart run --config {out / BEST}")
    return "\n".join(lines)


# -- files -------------------------------------------------------------------------------------


def tuned(config: Config, studies: Mapping[str, Study]) -> Config:
    """The configuration with the best settings found, and the trials that went into each part.

    It is about the spaces in which they were found, and names the strategies that were tuned.
    """
    settings: dict[str, Any] = {}
    parts = [study.component for study in studies.values()]
    for name, study in studies.items():
        if study.best is not None:
            settings |= study.best.settings | {f"tuning.{section(name)}": study.done}
    judges = (*config.strategies.names, *(part.judge for part in parts))
    return adjusted(
        config,
        settings
        | {
            "spaces": tuple(dict.fromkeys(part.space for part in parts)),
            "strategies.names": tuple(dict.fromkeys(judges)),
        },
    )


def write_settings(out: Path, config: Config, studies: Mapping[str, Study]) -> Config:
    """Write ``trials.csv`` and ``best.toml``; returns what the latter holds."""
    write_atomically(out / TABLE, csv_bytes(_table(studies)))
    best = tuned(config, studies)
    write_atomically(out / BEST, to_toml(best).encode())
    return best


def _table(studies: Mapping[str, Study]) -> dict[str, list[Any]]:
    """Every trial of every part, with a column for each setting that any of them searched."""
    keys = [key for study in studies.values() for key in study.component.ranges]
    rows = [(name, entry) for name, study in studies.items() for entry in study.entries]
    table: dict[str, list[Any]] = {
        "component": [name for name, _ in rows],
        "trial": [entry.number for _, entry in rows],
        "state": [entry.state for _, entry in rows],
        "ndcg": [entry.ndcg for _, entry in rows],
        "seconds": [entry.seconds for _, entry in rows],
        "epochs": [entry.epochs for _, entry in rows],
        "note": [entry.note for _, entry in rows],
    }
    for key in keys:
        values = [entry.settings.get(key) for _, entry in rows]
        table[key] = [list(each) if isinstance(each, tuple) else each for each in values]
    return table
