"""``tuning.html``: what was searched, how the trials went, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpu_coldstart.config.base import Choices, Searched
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.registry import section
from gpu_coldstart.reporting.blocks import (
    NOT_KNOWN,
    Block,
    Drawn,
    Fold,
    Grid,
    Section,
    Text,
    counted,
    interval,
    number,
    percent,
    setting_text,
)
from gpu_coldstart.reporting.drawn import draw
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.page import page
from gpu_coldstart.runs.artifacts import write_atomically
from gpu_coldstart.tuning.components import range_text
from gpu_coldstart.tuning.report import BEST, TABLE, gain
from gpu_coldstart.tuning.study import Study

__all__ = ["PAGE", "drawn_from", "write_page"]

PAGE = "tuning.html"


def write_page(out: Path, config: Config, studies: Mapping[str, Study]) -> None:
    """Write the page and its figures."""
    drawn = draw({"trials": drawn_from(studies)}).get("trials", [])
    for each in drawn:
        for name, content in each.files.items():
            write_atomically(out / name, content)
    lead = (
        f"{config.dataset}, preset {config.preset}, seed {config.seed}: settings compared on the "
        "validation users alone."
    )
    sections = [
        Section(name, name, list(_part(out, study, config, drawn)))
        for name, study in studies.items()
    ]
    write_atomically(out / PAGE, page("Tuning", lead, sections, beside=[TABLE, BEST]))


def drawn_from(studies: Mapping[str, Study]) -> dict[str, list[Any]]:
    """What the figure shows: a line for each setting of each trial.

    Columns ``component``, ``number``, ``state``, ``ndcg``, ``setting`` (without what it shares with
    others of the part), ``value``, a number, or the place of a choice, of which ``words`` tell, and
    ``log``.
    """
    lines = [
        {
            "component": name,
            "number": entry.number,
            "state": entry.state,
            "ndcg": entry.ndcg,
            "setting": key.rpartition(".")[2].removeprefix(f"{section(name)}_"),
            "value": each.values.index(value) if isinstance(each, Choices) else value,
            "words": setting_text(value) if isinstance(each, Choices) else "",
            "log": isinstance(each, Searched) and each.log,
        }
        for name, study in studies.items()
        for entry in study.entries
        for key, each in study.component.ranges.items()
        for value in [entry.settings[key]]
    ]
    return {key: [line[key] for line in lines] for key in (lines[0] if lines else {})}


def _part(out: Path, study: Study, config: Config, drawn: list[Drawn]) -> Iterator[Block]:
    part, best = study.component, study.best
    yield Text(
        f"{counted(study.done, 'trial')}, judged by the lists of {strategy_name(part.judge)} in "
        f"{space_name(part.space)}: NDCG@50 of the validation users, in per cent."
    )
    found = gain(out, study, config)
    if best is not None and study.first is not None and found is not None:
        yield Text(
            f"{percent(study.first.ndcg)} as configured, {percent(best.ndcg)} at best (trial "
            f"{best.number}): {percent(found.difference, sign=True)}, 95 % interval of the "
            f"difference {interval(found.low, found.high)}. The best of several flatters itself on "
            "the users that it was chosen by; a run says what it is worth on others."
        )
    yield from (each.picture for each in drawn if each.picture.id == f"figure-trials-{part.name}")
    yield _settings(study, config)
    yield Fold("All trials", [_trials(study)])


def _settings(study: Study, config: Config) -> Grid:
    values, importances = flat(config), study.importances
    found = study.best.settings if study.best is not None else {}
    rows = [
        [
            key,
            range_text(each),
            setting_text(values[key]),
            setting_text(found.get(key)),
            percent(importances.get(key)),
        ]
        for key, each in study.component.ranges.items()
    ]
    name = study.component.name
    return Grid(
        f"settings-{name}",
        "What was searched; importance is a setting's part in how trials differ, in per cent",
        ["setting", "range", "as configured", "best", "importance"],
        rows,
        frozenset({1, 2, 3}),
    )


def _trials(study: Study) -> Grid:
    keys = list(study.component.ranges)
    rows = [
        [
            str(entry.number),
            entry.state,
            percent(entry.ndcg),
            number(entry.seconds, 1),
            str(entry.epochs),
            *(_short(entry.settings[key]) for key in keys),
            entry.note or NOT_KNOWN,
        ]
        for entry in study.entries
    ]
    name = study.component.name
    heads = [key.rpartition(".")[2].removeprefix(f"{section(name)}_") for key in keys]
    return Grid(
        f"trials-{name}",
        "All trials; NDCG of one that was pruned is that of its last epoch",
        ["trial", "state", "NDCG", "seconds", "epochs", *heads, "note"],
        rows,
        frozenset({1, 5 + len(keys)}),
        TABLE,
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else setting_text(value)
