"""The knobs of the synthetic world, as settings give them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from gpu_coldstart.config.base import MOST
from gpu_coldstart.datasets.synthetic.world import World
from gpu_coldstart.errors import UserError

__all__ = ["as_world"]


def as_world(value: Any) -> World:
    """A world from one or from its knobs; whole numbers do for floats, lists for tuples."""
    if isinstance(value, World):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"is {value!r}: a World or its knobs are needed")
    knobs = {field.name: field.default for field in dataclasses.fields(World)}
    unknown = [name for name in value if name not in knobs]
    if unknown:
        raise ValueError(f"world has no {', '.join(map(str, unknown))}")
    try:
        return World(**{name: _knob(given, knobs[name]) for name, given in value.items()})
    except UserError as error:
        raise ValueError(str(error)) from error


def _knob(value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(_knob(single, default[0]) for single in value)
    if type(value) is int and abs(value) > MOST:
        return math.inf  # the world refuses it, and can say so: Python prints no huge integer
    return float(value) if isinstance(default, float) and type(value) is int else value
