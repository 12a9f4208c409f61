"""The stages of a run with every strategy in both spaces, and whether a run is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from gpu_coldstart.registry import STRATEGIES as KINDS
from tests.builtin import SPACES, STRATEGIES
from tests.runs.helpers import Result, manifest

LEARNED = ("space", "segments", "descriptions", "network", "predictions", "predictions.warm")
WAYS = tuple(
    part
    for name in STRATEGIES
    for part in ([f"{name}.state", name] if KINDS.get(name).State is not None else [name])
)
PARTS = (*LEARNED, *WAYS, "carousels")
LAST = ("analysis", "results", "report")
STAGES = ("config", "logs", *(f"{a}/{b}" for a in SPACES for b in PARTS), *LAST)
KILLED = -9
"""Exit status of a process that SIGKILL ended."""


def stages_of(*parts: str) -> set[str]:
    return {f"{space}/{part}" for space in SPACES for part in parts}


Stopper = Callable[..., Result]
Done = tuple[Path, Result]


def whole(out: Path) -> bool:
    """Whether every file that the manifest names is there as it was written."""
    if not (out / "manifest.json").exists():
        return True
    return all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        for files in manifest(out)["stages"].values()
        for name, digest in files.items()
    )
