"""Puts the stand-ins in place: a rehearsal of the CUDA engine without a card.

A rehearsal runs the engine's own code from end to end. It shows that calls fit together, not that
a GPU computes the same, and is never reported as if it did.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.rehearsal import (
    cudf_standin,
    cuml_standin,
    cupy_standin,
    cupyx_standin,
    faiss_standin,
    torch_cuda,
)
from tests.rehearsal.record import Stage, enter

__all__ = ["Stage", "rehearsed"]

_ENGINE = "gpu_coldstart.engine.cuda"
_OURS = ("cupy", "cupyx", "cudf", "cuml", "rmm", "pylibraft", "faiss")
_RAPIDS = ("cudf", "cuml", "rmm", "pylibraft")


@contextmanager
def rehearsed(
    compute_capability: str = "90",
    total_memory: int = 80 << 30,
    *,
    rapids: bool = True,
    launch_shape: tuple[int, int] | None = (8, 32),
) -> Iterator[Stage]:
    """Stand-ins for every library of the CUDA engine, for as long as the block runs.

    The engine's modules are imported afresh inside, and forgotten afterwards.

    Parameters
    ----------
    compute_capability : str
        Of the pretended card, as CuPy says it; ``"61"`` for a GTX 1080.
    total_memory : int
        Bytes of the pretended card.
    rapids : bool
        Without it, cuDF, cuML and RMM cannot be imported, and faiss has no GPU.
    launch_shape : (grid, block), or None
        Of every kernel's launch; None for what the engine says, with which a whole run would spend
        most of its time on threads that have nothing to do. No result depends on it.
    """
    stage = Stage(compute_capability, total_memory, rapids, launch_shape=launch_shape)
    with ExitStack() as stack:
        stack.callback(enter(stage))
        stack.enter_context(_modules(rapids))
        stack.enter_context(_torch())
        yield stage


@contextmanager
def _torch() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, function in torch_cuda.patches().items():
            patch.setattr(torch.cuda, name, function, raising=False)
        # A CUDA build would take the pretended card for its accelerator, and ask for its driver.
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
        yield


@contextmanager
def _modules(rapids: bool) -> Iterator[None]:
    modules: dict[str, Any] = cupy_standin.make() | cupyx_standin.make()
    finder = None
    if rapids:
        faiss, finder = faiss_standin.make()
        modules |= cudf_standin.make() | cuml_standin.make() | torch_cuda.make_rmm() | faiss
    else:
        modules |= dict.fromkeys(_RAPIDS)  # None makes an import fail
    replaced = {name for name in _OURS if rapids or name != "faiss"}
    aside = _take_out(replaced)
    engine = _forget_engine()
    sys.modules.update(modules)
    if finder is not None:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder is not None:
            sys.meta_path.remove(finder)
        _take_out(replaced)
        _forget_engine()
        sys.modules.update(aside)
        _restore_engine(engine)


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Remove packages and all that is in them; returns what was there."""
    found = [name for name in sys.modules if name.split(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


def _forget_engine() -> dict[str, ModuleType]:
    """Remove the engine's modules, which hold the libraries they were imported with."""
    found = [name for name in sys.modules if name.startswith(_ENGINE)]
    taken = {name: sys.modules.pop(name) for name in found}
    for name in taken:
        parent, _, child = name.rpartition(".")
        if hasattr(sys.modules.get(parent), child):
            delattr(sys.modules[parent], child)
    return taken


def _restore_engine(taken: dict[str, ModuleType]) -> None:
    for name, module in taken.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)
