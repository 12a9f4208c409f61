"""What went into the settings behind each row: trials on validation users, or nothing."""

from __future__ import annotations

from gpu_coldstart import strategies
from gpu_coldstart.config.base import ranges_of
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.registry import MODELS, STRATEGIES, section
from gpu_coldstart.reporting.blocks import counted
from gpu_coldstart.reporting.labels import space_name, strategy_name

__all__ = ["budget_notes", "budgets"]

_AS_THEY_COME = "as they come"


def budgets(config: Config) -> list[tuple[str, str]]:
    """Each strategy of a run, and what all of them share, with how its settings came about."""
    trials = _trials(config)
    rows = []
    for name in config.strategies.names:
        parts = {name: "", **{each: f"{strategy_name(each)}: " for each in _experts(config, name)}}
        told = [f"{of}{_words(trials[part])}" for part, of in parts.items() if trials[part]]
        rows.append((strategy_name(name), "; ".join(told) or _AS_THEY_COME))
    return [*rows, *((label, _words(trials[part])) for part, label in _shared(config).items())]


def budget_notes(config: Config) -> list[str]:
    """A sentence on who was tuned and who could have been; none where nobody was."""
    trials, shared = _trials(config), _shared(config)
    taking_part = dict.fromkeys(
        part for name in config.strategies.names for part in (name, *_experts(config, name))
    )
    labels = {part: strategy_name(part) for part in taking_part} | shared
    by_trials: dict[int, list[str]] = {}
    for part, label in labels.items():
        by_trials.setdefault(trials[part], []).append(label)
    told = [
        f"{', '.join(names)} ({counted(count, 'trial')}{' each' if len(names) > 1 else ''})"
        for count, names in sorted(by_trials.items(), reverse=True)
        if count
    ]
    if not told:
        return []
    left = [
        label
        for part, label in labels.items()
        if part in taking_part and not trials[part] and ranges_of(STRATEGIES.get(part).Parameters)
    ]
    others = f"; not tuned, though they could be: {', '.join(left)}" if left else ""
    return [f"settings tuned on validation users: {', '.join(told)}{others}"]


def _trials(config: Config) -> dict[str, int]:
    values = flat(config)
    parts = (*STRATEGIES.names(), *_shared(config))
    return {part: int(values.get(f"tuning.{section(part)}", 0)) for part in parts}


def _words(trials: int) -> str:
    return f"tuned by {counted(trials, 'trial')} on validation users" if trials else _AS_THEY_COME


def _experts(config: Config, name: str) -> tuple[str, ...]:
    return strategies.experts_of(name, config)


def _shared(config: Config) -> dict[str, str]:
    """What the strategies have in common, and what people call it."""
    return {
        **{name: space_name(name) for name in config.spaces},
        "segments": "Segments",
        "features": "Input vectors",
        config.model: MODELS.label(config.model),
    }
