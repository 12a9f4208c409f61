"""The one loader of our own CUDA kernels: compiled at first use, every argument checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache as cached
from pathlib import Path
from typing import Any

import cupy as cp

from gpu_coldstart import profiling
from gpu_coldstart.engine.signatures import Signature, files, parse, source, variants

__all__ = ["BLOCK", "Kernel", "cache", "compile_all", "kernel"]

BLOCK = 256
"""Threads of a block."""

_MOST_BLOCKS = 1 << 20
"""Kernels stride over what a grid of this many blocks does not cover."""


class Kernel:
    """A function of a file in ``kernels/``, compiled for the current device.

    Parameters
    ----------
    signature : Signature
    function : callable
        What CuPy compiled.
    """

    def __init__(self, signature: Signature, function: Any):
        self.signature = signature
        self._function = profiling.kernel(signature.name)(function)

    def __call__(
        self,
        units: int,
        threads: int,
        *,
        most_blocks: int | None = None,
        shared: int = 0,
        **arguments: Any,
    ) -> None:
        """Launch on the current stream.

        Parameters
        ----------
        units : int
            Pieces of work; none launches nothing.
        threads : int
            Threads that share a unit: 1, 32 (a warp) or :data:`BLOCK`.
        most_blocks : int or None
            The grid is no larger, and never larger than all kernels' limit; the result does not
            depend on it.
        shared : int
            Bytes of dynamic shared memory for each block.
        arguments
            Every parameter of the kernel, by name.
        """
        bound = self.signature.bind(arguments, cp.cuda.runtime.getDevice())
        if units == 0:
            return
        most = _MOST_BLOCKS if most_blocks is None else min(most_blocks, _MOST_BLOCKS)
        blocks = min(-(-units * threads // BLOCK), most)
        self._function((blocks,), (BLOCK,), bound, shared_mem=shared)


@cached
def kernel(file: str, function: str = "", **macros: int) -> Kernel:
    """A kernel of ``kernels/<file>.cu``, compiled when it is first asked for.

    Parameters
    ----------
    file : str
        Name without ending.
    function : str
        Name of the kernel; that of the file unless given.
    macros
        Constants the source is compiled with.
    """
    function = function or file
    options = ("--std=c++17", *(f"-D{name}={value}" for name, value in macros.items()))
    module = _module(file, options)
    return Kernel(parse(source(file))[function], module.get_function(function))


@cached
def _module(file: str, options: tuple[str, ...]) -> Any:
    return cp.RawModule(code=source(file), options=options)


def cache() -> Path:
    """Where CuPy keeps what it has compiled, for all processes of this user."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")


def compile_all() -> Iterator[str]:
    """Compile every file of ``kernels/`` for the current device, in each variant that it names.

    Several at a time: NVRTC does not hold Python's lock, which CuPy gives back for it.

    Yields
    ------
    str
        What is compiled.
    """
    device = cp.cuda.runtime.getDevice()

    def work(file: str, macros: dict[str, int]) -> str:
        with cp.cuda.Device(device):  # a thread begins with the first one
            for function in parse(source(file)):
                kernel(file, function, **macros)
        return " ".join([f"{file}.cu", *(f"{name}={value}" for name, value in macros.items())])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        wanted = [(file, macros) for file in files() for macros in variants(source(file))]
        for done in as_completed([threads.submit(work, *each) for each in wanted]):
            yield done.result()
