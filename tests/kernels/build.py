"""CUDA C++ source to a host library: found kernels, typed trampolines, g++."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "CompileError",
    "Declaration",
    "Library",
    "Parameter",
    "build",
    "compiler_flags",
    "folder",
]

_HERE = Path(__file__).resolve().parent
_BUILT: dict[str, Library] = {}
_PLACE = "HOST_KERNELS"

_LANGUAGE = ("-std=c++20", "-I", str(_HERE))
# Products and sums are not fused, so that a kernel's roundings are those its source says; frames
# must fit a fibre's stack. For -fdata-sections see shim.ld; unique symbols would be shared between
# libraries that hold the same kernel.
_FLAGS = (
    *("-O2", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-fdata-sections"),
    *("-fno-gnu-unique", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"),
    "-Werror=frame-larger-than=32768",
)
_SANITIZE = (
    "-fsanitize=bounds,object-size,alignment,shift,integer-divide-by-zero"
    ",signed-integer-overflow,float-cast-overflow"
)
_LINK = ("-shared", "-Wl,-z,defs", f"-Wl,-T,{_HERE / 'shim.ld'}")

_BOUNDS = r"(?:__launch_bounds__\s*\(([^()]*)\)\s*)?"
_KERNEL = re.compile(
    rf'extern\s*"C"\s*__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(([^()]*)\)', re.DOTALL
)
# Settings of the device compiler without a meaning here.
_IGNORED = ("--std=", "-std=", "--fmad=false", "-lineinfo", "--generate-line-info")


class CompileError(RuntimeError):
    """The compiler's complaint."""


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter; ``const`` and ``pointer`` are False for a scalar."""

    name: str
    dtype: np.dtype[Any]
    pointer: bool
    const: bool

    def __str__(self) -> str:
        if not self.pointer:
            return f"a scalar of {self.dtype}"
        return f"{'an' if self.dtype.kind == 'i' else 'a'} {self.dtype} array"


@dataclass(frozen=True)
class Declaration:
    """A kernel as its source declares it."""

    name: str
    parameters: tuple[Parameter, ...]
    most_threads: int


@dataclass(frozen=True)
class Library:
    """A loaded library and the kernels in it."""

    handle: ctypes.PyDLL
    kernels: dict[str, Declaration]


def compiler_flags(options: Sequence[str]) -> tuple[str, ...]:
    """The device compiler's options as g++ takes them.

    Raises
    ------
    ValueError
        For an option that is none of ``-I``, ``-D`` and the ignored ones: it might change results.
    """
    flags: list[str] = []
    rest = list(options)
    while rest:
        option = rest.pop(0)
        if option in ("-I", "-D") and rest:
            flags += [option, rest.pop(0)]
        elif option.startswith(("-I", "-D")):
            flags.append(option)
        elif option in ("--std", "-std") and rest:
            rest.pop(0)
        elif not option.startswith(_IGNORED):
            raise ValueError(f"the host build knows no option {option!r}")
    return tuple(flags)


def build(code: str, options: Sequence[str], *, sanitize: bool) -> Library:
    """Compile a source, once for the same source, headers and options."""
    flags = compiler_flags(options)
    scanned = _run(
        [*_LANGUAGE, *flags, "-DSHIM_SCAN", "-imacros", "shim.h", "-E", "-P", "-x", "c++", "-"],
        code,
    )
    key = hashlib.sha256(repr((code, scanned, flags, sanitize)).encode()).hexdigest()[:24]
    if key not in _BUILT:
        found = {match[3]: match for match in _KERNEL.finditer(scanned)}
        handle = _compile(key, _unit(code, list(found)), [*flags, *[_SANITIZE] * sanitize])
        _BUILT[key] = Library(handle, {name: _declared(handle, found[name]) for name in found})
    return _BUILT[key]


def _unit(code: str, names: Sequence[str]) -> str:
    """The translation unit: the kernels in a namespace of their own, then a way in for each.

    The unnamed namespace keeps names of the C library apart from the kernels', and makes shared
    variables of templates plain ones.
    """
    aliases = [f"constexpr auto* shim_{name} = &{name};" for name in names]
    entries = [f"SHIM_KERNEL({name})" for name in names]
    head = ['#include "shim.h"', "namespace {", '#line 1 "kernel.cu"', code]
    return "\n".join([*head, '#line 1 "entries"', *aliases, "}", *entries, ""])


def folder() -> Path:
    """Where libraries lie until the process that asked first ends; processes it starts share it."""
    if _PLACE not in os.environ:
        os.environ[_PLACE] = tempfile.mkdtemp(prefix="host-kernels-")
        atexit.register(_remove, os.getpid())
    return Path(os.environ[_PLACE])


def _remove(owner: int) -> None:
    if os.getpid() == owner:  # and not a process forked from it
        shutil.rmtree(folder(), ignore_errors=True)


def _compile(key: str, unit: str, flags: Sequence[str]) -> ctypes.PyDLL:
    library = folder() / f"{key}.so"
    if not library.exists():
        half, object_file = (library.with_suffix(f".{os.getpid()}.{end}") for end in ("so", "o"))
        _run([*_LANGUAGE, *_FLAGS, *flags, "-x", "c++", "-c", "-", "-o", str(object_file)], unit)
        # Without the sanitizer's flag, for the shim has what its library would bring.
        _run([*_LINK, str(object_file), "-o", str(half)], "")
        object_file.unlink()
        half.replace(library)
    # PyDLL keeps the interpreter's lock: a library runs one launch at a time.
    return ctypes.PyDLL(str(library))


def _run(arguments: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(
            ["g++", *arguments], input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CompileError("g++ was not found: install it to run kernels on the host") from None
    if done.returncode != 0:
        raise CompileError(done.stderr)
    return done.stdout


def _declared(handle: ctypes.PyDLL, match: re.Match[str]) -> Declaration:
    """Types as the compiler sees them, names as the source says them."""
    names = [re.findall(r"\w+", text)[-1] for text in match[4].split(",") if text.strip()]
    text = ctypes.create_string_buffer(32 * len(names) + 1)
    getattr(handle, f"shim_signature_{match[3]}")(text)
    types = text.value.decode().split(",")[:-1]
    parameters = [_parameter(name, kind) for name, kind in zip(names, types, strict=True)]
    bounds = (match[1] or match[2] or "").split(",")[0].strip()
    return Declaration(match[3], tuple(parameters), int(bounds) if bounds.isdigit() else 1024)


def _parameter(name: str, kind: str) -> Parameter:
    dtype = np.dtype(kind.removeprefix("const ").removesuffix("*"))
    return Parameter(name, dtype, kind.endswith("*"), kind.startswith("const "))
