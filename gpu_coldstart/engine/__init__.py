"""Engines: the only code that knows which processor runs."""

from __future__ import annotations

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.engine.cpu import CpuEngine
from gpu_coldstart.errors import UserError

__all__ = ["Engine", "choose"]


def choose(name: str) -> tuple[Engine, str]:
    """Make the engine asked for.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}

    Returns
    -------
    engine : Engine
    reason : str
        One line that says which engine it is and why.

    Raises
    ------
    UserError
        When ``cuda`` is asked for and cannot run, or for an unknown name.

    Examples
    --------
    >>> choose("cpu")[1]
    'engine cpu: asked for'
    """
    if name == "cpu":
        return CpuEngine(), "engine cpu: asked for"
    if name == "auto":
        return CpuEngine(), f"engine cpu: {_why_not_cuda()}"
    if name == "cuda":
        raise UserError(f"engine cuda cannot run: {_why_not_cuda()}; use --engine cpu")
    raise UserError(f"engine '{name}' is not known: use auto, cpu or cuda")


def _why_not_cuda() -> str:
    """What stands between this machine and the CUDA engine."""
    import torch

    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device here"
    return "this version of gpu_coldstart has no CUDA engine yet"
