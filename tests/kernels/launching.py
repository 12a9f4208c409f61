"""Kernels of ``kernels/`` on the host, launched in several shapes and orders that must agree."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gpu_coldstart.engine.signatures import parse, source
from tests.kernels.host import HostModule, Order

__all__ = ["launch"]

_SHAPES: tuple[tuple[tuple[int, int], Order], ...] = (
    ((1, 32), "forward"),
    ((3, 96), "reverse"),
    ((2, 64), "forward"),
)
"""(grid, block) and the order of threads and blocks."""


@cache
def _module(file: str, macros: tuple[tuple[str, int], ...]) -> HostModule:
    return HostModule(source(file), tuple(f"-D{name}={value}" for name, value in macros))


def launch(
    file: str,
    function: str = "",
    *,
    written: tuple[str, ...],
    macros: dict[str, int] | None = None,
    shared: int = 0,
    **arguments: Any,
) -> None:
    """Run a kernel and leave what it writes in its arguments.

    Asserts that every launch shape and order leaves the same bits. Arguments are checked against
    the source as the loader does.

    Parameters
    ----------
    written : tuple of str
        Arguments to be compared; each launch starts from their content.
    """
    function = function or file
    signature = parse(source(file))[function]
    module = _module(file, tuple(sorted((macros or {}).items())))
    before = {name: arguments[name].copy() for name in written}
    after: dict[str, np.ndarray] | None = None
    for (grid, block), order in _SHAPES:
        for name in written:
            arguments[name][...] = before[name]
        module.order = order
        bound = [
            value if isinstance(value := arguments[parameter.name], np.ndarray)
            else parameter.dtype.type(value)
            for parameter in signature.parameters
        ]  # fmt: skip
        kernel = module.get_function(function)
        kernel((grid,), (block,), bound, shared_mem=shared * block // 32)
        found = {name: arguments[name].copy() for name in written}
        if after is not None:
            for name, array in found.items():
                same = array.view(np.uint8) == after[name].view(np.uint8)
                assert same.all(), f"{name} depends on the launch: {(grid, block)}, {order}"
        after = found
