"""Errors in the words of the command line: its options and settings."""

from __future__ import annotations

from types import MappingProxyType

from gpu_coldstart.errors import EngineError

__all__ = ["sentence"]

_OPTIONS = MappingProxyType(
    {
        "cpu": "--engine cpu",
        "memory_budget": "--memory-budget",
        "gigabyte": "1GB",
        "factors": "'ut_als.factors'",
        "k": "evaluation.k",
        "exclude_seen": "strategies.exclude_seen = false",
    }
)


def sentence(error: Exception) -> str:
    """What the command says of an error.

    Examples
    --------
    >>> from gpu_coldstart.errors import EngineUnavailableError
    >>> sentence(EngineUnavailableError("cuda", "there is no card"))
    'engine cuda cannot run: there is no card; mend that, or use --engine cpu'
    """
    return error.worded(_OPTIONS) if isinstance(error, EngineError) else str(error)
