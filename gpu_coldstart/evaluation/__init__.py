"""How good recommendations are: values in, tables out; nothing here knows a run's directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_coldstart.evaluation.lists import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]


def __getattr__(name: str) -> Any:
    # Not at the top: the statistics take SciPy, which other modules of the package do without.
    if name in __all__:
        from gpu_coldstart.evaluation import lists

        return getattr(lists, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
