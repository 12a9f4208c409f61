"""Errors in the words of the command line: its options and settings."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from gpu_coldstart.errors import EngineError, UserError

if TYPE_CHECKING:
    from gpu_coldstart.engine import Engine

__all__ = ["enough_memory", "missing", "sentence"]

_OPTIONS = MappingProxyType(
    {
        "cpu": "--engine cpu",
        "memory_budget": "--memory-budget",
        "least_budget": "1.5GB",
        "device": "--device",
        "factors": "'ut_als.factors'",
        "k": "evaluation.k",
        "exclude_seen": "strategies.exclude_seen = false",
    }
)


def sentence(error: Exception) -> str:
    """The command's message for an error: one of ours, or of the operating system.

    Examples
    --------
    >>> from gpu_coldstart.errors import EngineUnavailableError
    >>> sentence(EngineUnavailableError("cuda", "there is no card"))
    'engine cuda cannot run: there is no card; mend that, or use --engine cpu'
    >>> sentence(PermissionError(13, "Permission denied", "users.parquet"))
    'users.parquet: Permission denied'
    """
    if isinstance(error, EngineError):
        return error.worded(_OPTIONS)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full; free some space" if full else error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


_EXTRAS = {
    "cpu": ("jinja2", "matplotlib", "numba", "onnx", "torch"),
    "serve": ("fastapi", "onnxruntime", "prometheus_client", "redis", "starlette", "uvicorn"),
    "tune": ("optuna",),
    "audio": ("librosa", "pytorch_metric_learning", "sklearn", "soundfile"),
}


def missing(error: ModuleNotFoundError) -> str:
    """What to install for a module that is not there; nothing for one of which no extra says.

    Examples
    --------
    >>> missing(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    "this needs torch, which is not installed: pip install 'gpu-coldstart[cpu]'"
    """
    name = (error.name or "").partition(".")[0]
    extra = next((extra for extra, names in _EXTRAS.items() if name in names), None)
    if extra is None:
        return ""
    return f"this needs {name}, which is not installed: pip install 'gpu-coldstart[{extra}]'"


@contextmanager
def enough_memory(
    engine: Engine | None = None, remedy: str = "choose a smaller preset or smaller sizes"
) -> Iterator[None]:
    """Turn a lack of memory, of the machine or of the engine's device, into one sentence.

    Parameters
    ----------
    engine : Engine, optional
        Knows the memory of its device and how its libraries report a lack of it.
    remedy : str
        What to do where the machine's own memory ran out.

    Raises
    ------
    UserError
        Instead of the library's error. Any other error is left as it is.

    Examples
    --------
    >>> with enough_memory():
    ...     raise MemoryError
    Traceback (most recent call last):
    gpu_coldstart.errors.UserError: not enough memory: choose a smaller preset or smaller sizes
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        lacking = engine.explain(error) if engine is not None else None
        if lacking is not None:
            raise lacking from error
        # torch reports a lack of the machine's memory as a RuntimeError in these words
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise UserError(f"not enough memory: {remedy}") from error
