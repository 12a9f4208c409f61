"""NVIDIA's runtime compiler through ctypes; it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["MISSING", "Compiled", "NvrtcError", "compile_kernels"]

MISSING = (
    "NVRTC was not found: install the development dependencies"
    " (pip install 'nvidia-cuda-nvrtc-cu12>=12.9,<13')."
)

_Handle = ctypes.c_void_p


class NvrtcError(RuntimeError):
    """The compiler's log, or why there is no compiler."""


class Compiled(NamedTuple):
    """What came out: PTX for ``compute_*``, a cubin for ``sm_*``; and the log."""

    output: bytes
    log: str


def compile_kernels(source: str, name: str, arch: str, options: Sequence[str] = ()) -> Compiled:
    """Compile a CUDA source.

    Parameters
    ----------
    source : str
    name : str
        File name for messages.
    arch : str
        ``sm_61`` for a cubin, ``compute_61`` for PTX.
    options : sequence of str

    Raises
    ------
    NvrtcError
        With the log when the source does not compile.
    """
    library = _library()
    program = _Handle()
    _check(
        library.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), 0, None, None
        )
    )
    try:
        flags = [option.encode() for option in (f"--gpu-architecture={arch}", *options)]
        status = library.nvrtcCompileProgram(
            program, len(flags), (ctypes.c_char_p * len(flags))(*flags)
        )
        log = _read(program, "ProgramLog").decode(errors="replace").strip("\0\n")
        if status != 0:
            raise NvrtcError(log or library.nvrtcGetErrorString(status).decode())
        return Compiled(_read(program, "CUBIN" if arch.startswith("sm_") else "PTX"), log)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _check(status: int) -> None:
    if status != 0:
        raise NvrtcError(_library().nvrtcGetErrorString(status).decode())


def _read(program: _Handle, what: str) -> bytes:
    """One of the program's outputs."""
    size = ctypes.c_size_t()
    _check(getattr(_library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(_library(), f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


@cache
def _library() -> ctypes.CDLL:
    for folder in _folders():
        for path in sorted(folder.glob("libnvrtc.so.*")):
            library = ctypes.CDLL(str(path))
            library.nvrtcGetErrorString.restype = ctypes.c_char_p
            return library
    raise NvrtcError(MISSING)


def _folders() -> list[Path]:
    """Where the package keeps its libraries; empty if it is not installed."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return []
    return [Path(place) / "lib" for place in (found and found.submodule_search_locations) or []]
