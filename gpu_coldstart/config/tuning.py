"""How many trials the settings of each part were chosen by, as ``gpu-coldstart tune`` notes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import create_model

from gpu_coldstart.config.base import Natural, Parameters
from gpu_coldstart.registry import MODELS, SPACES, STRATEGIES, section

__all__ = ["SECTIONS", "TuningConfig", "trial_fields"]

SECTIONS = ("segments", "features")
"""What can be tuned besides spaces, models and strategies."""


def trial_fields(names: Iterable[str]) -> dict[str, Any]:
    """A field for the trials of each part, by the part's key."""
    return {section(name): (Natural, 0) for name in names}


_OfBuiltin: Any = create_model(
    "_OfBuiltin",
    __base__=Parameters,
    **trial_fields((*SPACES.builtin, *MODELS.builtin, *SECTIONS, *STRATEGIES.builtin)),
)


# The base is made at run time, so mypy cannot follow it.
class TuningConfig(_OfBuiltin):  # type: ignore[misc]
    """By part, the trials on validation users that its settings are the best of; 0 for no tuning.

    This changes no result. It lets a report say what went into each of its rows.
    """
