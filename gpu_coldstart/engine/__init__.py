"""Engines: the only code that knows which processor runs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import EngineUnavailableError, UserError
from gpu_coldstart.registry import ENGINES

__all__ = ["Engine", "choose", "compiling", "names"]

_PACKAGES = {"cpu": "gpu_coldstart.engine.cpu", "cuda": "gpu_coldstart.engine.cuda"}
"""Package of each built-in engine, whose ``make`` imports the engine only where it can run."""


def names() -> tuple[str, ...]:
    """What may be chosen; nothing is imported to know it.

    Examples
    --------
    >>> names()[:3]
    ('auto', 'cpu', 'cuda')
    """
    return ("auto", *ENGINES.names())


def choose(
    name: str, memory_budget: int | None = None, device: int | None = None
) -> tuple[Engine, str]:
    """Make the engine asked for.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}, or an engine that an installed package adds
        ``auto`` is ``cuda`` where that can run, else ``cpu``.
    memory_budget : int or None
        Bytes of GPU memory to stay below; None for nine tenths of what is free.
    device : int or None
        Which GPU, counted from 0 as CUDA does; None for the current one.

    Returns
    -------
    engine : Engine
    reason : str
        One line that says which engine it is and why.

    Raises
    ------
    EngineUnavailableError
        When ``cuda`` is asked for and cannot run.
    MemoryBudgetError
        For a budget that cannot be kept.
    DeviceError
        For a number that is no GPU's, or any on the CPU engine.
    UserError
        For an unknown name.

    Examples
    --------
    >>> choose("cpu")[1]
    'engine cpu: asked for'
    """
    if name not in names():
        *others, last = names()
        known = f"{', '.join(others)} or {last}"
        raise UserError(f"engine '{name}' is not known: use {known}")
    if name != "auto":
        return _make(name, memory_budget, device)
    try:
        return _make("cuda", memory_budget, device)
    except EngineUnavailableError as error:
        given = {"the memory budget": memory_budget, "the device": device}
        unused = [f"; {what} has no effect" for what, value in given.items() if value is not None]
        return _make("cpu")[0], "".join([f"engine cpu: {error.reason}", *unused])


@contextmanager
def compiling(folder: Path) -> Iterator[None]:
    """Compile many kernels in less time; the engine must not have been chosen before.

    CuPy parses the same headers for each of its kernels, unless NVRTC keeps them precompiled, in
    files of the current directory. So ``folder`` is the current directory meanwhile.
    """
    os.environ.setdefault("CUPY_NVRTC_USE_PCH", "1")  # read when CuPy is imported
    for name in ("CUPY_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if place := os.environ.get(name):
            os.environ[name] = str(Path(place).absolute())
    with chdir(folder):
        yield


def _make(
    name: str, memory_budget: int | None = None, device: int | None = None
) -> tuple[Engine, str]:
    maker = importlib.import_module(_PACKAGES[name]) if name in _PACKAGES else ENGINES.get(name)
    made: tuple[Engine, str] = maker.make(memory_budget, device)
    return made
