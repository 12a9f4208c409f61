"""What can be tuned: a part of the flow, its settings' ranges, and whose lists judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_coldstart import strategies
from gpu_coldstart.config.base import Choices, Parameters, Range, Searched, ranges_of
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import adjusted
from gpu_coldstart.config.tuning import SECTIONS
from gpu_coldstart.errors import UserError, nearest
from gpu_coldstart.registry import MODELS, SPACES, STRATEGIES, section
from gpu_coldstart.reporting.blocks import setting_text

__all__ = ["Component", "component", "range_text", "settings_of"]

_JUDGE = "semi"
"""Whose lists judge what is no strategy: the paper's system."""


@dataclass(frozen=True)
class Component:
    """A part of the flow that is tuned.

    Attributes
    ----------
    name : str
        A space, the model, ``segments``, ``features`` or a strategy.
    space : str
        The space in which it is judged.
    judge : str
        The strategy whose lists for the validation users judge it.
    ranges : dict of setting to range
        The configured value is in each.
    """

    name: str
    space: str
    judge: str
    ranges: dict[str, Range]

    @property
    def heard(self) -> str:
        """The strategy whose epochs tell how a trial is doing."""
        return self.name if self.name in STRATEGIES.names() else self.judge


def component(
    config: Config,
    name: str,
    *,
    judge: str | None = None,
    ranges: Mapping[str, Range] | None = None,
    only: Sequence[str] = (),
) -> Component:
    """A part by its name, as configured.

    Parameters
    ----------
    config : Config
        A part that is no space itself is judged in the first of its spaces.
    judge : str, optional
        Unless given, a strategy judges itself, and Semi-Pers. everything else.
    ranges : mapping of setting to range, optional
        In place of the part's own; those of other parts do not matter.
    only : sequence of str
        Settings that alone are searched, if any is of this part.

    Raises
    ------
    UserError
        For a name that is none, a judge that does not depend on the part, or nothing to search.
    """
    prefix, kind = settings_of(config, name)
    own = {f"{prefix}{key}": each for key, each in ranges_of(kind).items()}
    mine = {f"{prefix}{key}" for key in kind.model_fields}
    own |= {key: each for key, each in (ranges or {}).items() if key in mine}
    wanted = {key: each for key, each in own.items() if key in only} or own
    if not wanted:
        raise UserError(
            f"{name} has no setting with a range to search: tune what it is made of with "
            f"--strategy {name}, or give --range {prefix}KEY=LOW:HIGH"
        )
    values = flat(config)
    judge = judge or (name if name in STRATEGIES.names() else _JUDGE)
    of_judge = (judge, *_experts(judge, config))
    if name in STRATEGIES.names() and name not in of_judge:
        raise UserError(
            f"the lists of {judge} do not depend on {name}: give another --strategy, or none"
        )
    return Component(
        name,
        name if name in SPACES.names() else config.spaces[0],
        judge,
        {key: _widened(key, each, values[key]) for key, each in wanted.items()},
    )


def settings_of(config: Config, name: str) -> tuple[str, type[Parameters]]:
    """What the settings of a part begin with, and their class.

    Raises
    ------
    UserError
        For a name that is none, or of a model that is not the configured one.
    """
    kind: type[Parameters]
    if name in STRATEGIES.names():
        prefix, kind = f"strategies.{section(name)}_", STRATEGIES.get(name).Parameters
    elif name in SPACES.names():
        prefix, kind = f"{section(name)}.", SPACES.get(name).Parameters
    elif name in SECTIONS:
        prefix, kind = f"{name}.", type(config.of(name))
    elif name == config.model:
        prefix, kind = f"{section(name)}.", MODELS.get(name).Parameters
    elif name in MODELS.names():
        raise UserError(f"the model is {config.model}: to tune {name}, give --set model={name}")
    else:
        there = (*SPACES.names(), *MODELS.names(), *SECTIONS, *STRATEGIES.names())
        raise UserError(f"there is nothing called '{name}' to tune: {nearest(name, there)}")
    return prefix, kind


def range_text(each: Range) -> str:
    """A range in words.

    Examples
    --------
    >>> range_text(Searched(0.1, 10, log=True)), range_text(Choices(((50,), (50, 100))))
    ('0.1 to 10 by its logarithm', '50 | 50, 100')
    """
    if isinstance(each, Choices):
        return " | ".join(map(setting_text, each.values))
    return f"{each.low:g} to {each.high:g}{' by its logarithm' if each.log else ''}"


def _experts(judge: str, config: Config) -> tuple[str, ...]:
    """All strategies that one is made of."""
    alone = adjusted(config, {"strategies.names": (judge,)})
    return strategies.with_experts(alone)


def _widened(key: str, declared: Range, value: Any) -> Range:
    """A range with the configured value in it, which is the first that is tried."""
    if isinstance(declared, Choices):
        known = value in declared.values
        return declared if known else Choices((value, *declared.values))
    if declared.log and value <= 0:
        raise UserError(
            f"setting '{key}' is {value}, but is searched by its logarithm: give it a value above "
            f"0 to start from, or a range without log, as in --range {key}=0:{declared.high}"
        )
    return Searched(min(declared.low, value), max(declared.high, value), declared.log)
