"""Sources of kernels: what they say their arguments are, and whether what is passed fits.

A kernel is declared ``extern "C" __global__ void name(...)``, with each pointer's shape in a
comment behind it (``kernels/README.md`` has the rules). Nothing here needs a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Parameter", "Signature", "files", "parse", "source", "variants"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "int": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
_KERNEL = re.compile(r'extern "C" __global__ void (\w+)\((.*?)\)\s*\{', re.DOTALL)
_PARAMETER = re.compile(r"(?:const )?(\w+)(\*?)\s+(\w+)\s*(?:/\*\[(.*?)\]\*/)?$")
_HEADER = "common.cuh"
_SIZE = re.compile(r"(\w+)(?: \+ (\d+))?$")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
    shape : tuple of str, or None
        Size of each axis as the source says it; None for a scalar.
    stride : str or None
        The scalar that says how many elements its rows lie apart, for a matrix that need not be
        contiguous.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[str, ...] | None = None
    stride: str | None = None


@dataclass(frozen=True)
class Signature:
    """The parameters of one kernel, in order."""

    name: str
    parameters: tuple[Parameter, ...]

    def bind(self, arguments: Mapping[str, Any], device: int) -> tuple[Any, ...]:
        """Arguments in the order of the parameters, scalars as NumPy's, after checking each.

        Parameters
        ----------
        arguments : mapping of parameter name to array or number
            Arrays have ``dtype``, ``shape``, ``strides`` and ``device.id``.
        device : int
            Where the arrays must be.

        Raises
        ------
        TypeError
            For a missing or unknown argument, a wrong kind or dtype.
        ValueError
            For a wrong shape, layout or device, or a number that does not fit its type.
        """
        names = {parameter.name for parameter in self.parameters}
        for name in sorted(names ^ arguments.keys()):
            problem = "is missing" if name in names else "is not known"
            raise TypeError(f"kernel {self.name}: argument '{name}' {problem}")
        sizes = {
            parameter.name: int(self._scalar(parameter, arguments[parameter.name]))
            for parameter in self.parameters
            if parameter.shape is None and parameter.dtype.kind == "i"
        }
        scalars = frozenset(sizes)
        bound = []
        for parameter in self.parameters:
            value = arguments[parameter.name]
            if parameter.shape is None:
                bound.append(self._scalar(parameter, value))
            else:
                self._check_array(parameter, value, sizes, scalars, device)
                bound.append(value)
        return tuple(bound)

    def _scalar(self, parameter: Parameter, value: Any) -> Any:
        """A number as the NumPy scalar that the kernel takes."""
        if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
            raise TypeError(self._says(parameter, f"wanted a number, found {_kind(value)}"))
        if parameter.dtype.kind == "f":
            return parameter.dtype.type(value)
        limits = np.iinfo(parameter.dtype)
        if isinstance(value, (float, np.floating)) or not limits.min <= value <= limits.max:
            raise ValueError(self._says(parameter, f"{value} is no {parameter.dtype}"))
        return parameter.dtype.type(value)

    def _check_array(
        self,
        parameter: Parameter,
        array: Any,
        sizes: dict[str, int],
        scalars: frozenset[str],
        device: int,
    ) -> None:
        assert parameter.shape is not None
        if not all(hasattr(array, name) for name in ("dtype", "shape", "strides", "device")):
            raise TypeError(self._says(parameter, f"wanted a device array, found {_kind(array)}"))
        if array.dtype != parameter.dtype:
            raise TypeError(self._says(parameter, f"wanted {parameter.dtype}, found {array.dtype}"))
        if len(array.shape) != len(parameter.shape):
            raise ValueError(self._says_shape(parameter, array, sizes))
        for wanted, size in zip(parameter.shape, array.shape, strict=True):
            if not _agrees(wanted, size, sizes, scalars):
                raise ValueError(self._says_shape(parameter, array, sizes))
        if array.device.id != device:
            raise ValueError(
                self._says(parameter, f"lies on device {array.device.id}, wanted {device}")
            )
        if not _laid_out(array, None if parameter.stride is None else sizes[parameter.stride]):
            rows = f" but for rows {parameter.stride} apart" if parameter.stride else ""
            raise ValueError(
                self._says(parameter, f"wanted a contiguous array{rows}, found {array.strides}")
            )

    def _says(self, parameter: Parameter, problem: str) -> str:
        return f"kernel {self.name}, argument '{parameter.name}': {problem}"

    def _says_shape(self, parameter: Parameter, array: Any, sizes: Mapping[str, int]) -> str:
        assert parameter.shape is not None
        known = {name: size for name, size in sizes.items() if name in " ".join(parameter.shape)}
        given = ", ".join(f"{name} = {size}" for name, size in known.items())
        wanted = f"[{', '.join(parameter.shape)}]" + (f" with {given}" if given else "")
        return self._says(parameter, f"wanted the shape {wanted}, found {list(array.shape)}")


def _kind(value: Any) -> str:
    return type(value).__name__


def _agrees(wanted: str, size: int, sizes: dict[str, int], scalars: frozenset[str]) -> bool:
    """Whether an axis has the size its source says; a new name takes the size it first meets."""
    match = _SIZE.match(wanted)
    assert match is not None, wanted
    name, more = match.group(1), int(match.group(2) or 0)
    if name == "any":
        return True
    if name.isdigit():
        return size == int(name) + more
    if name not in scalars:
        sizes.setdefault(name, size - more)
    return size == sizes[name] + more


def _laid_out(array: Any, stride: int | None) -> bool:
    """Whether elements follow each other, and rows where they must."""
    if 0 in array.shape:
        return True
    step = array.dtype.itemsize
    for axis in reversed(range(len(array.shape))):
        if stride is not None and axis == len(array.shape) - 2:
            step = stride * array.dtype.itemsize
        if array.shape[axis] > 1 and array.strides[axis] != step:
            return False
        step *= array.shape[axis]
    return True


def parse(source: str) -> dict[str, Signature]:
    """The kernels a source declares, by name.

    Raises
    ------
    ValueError
        For a parameter that is not declared by the rules.

    Examples
    --------
    >>> signatures = parse('extern "C" __global__ void twice(float* x /*[n]*/, int n) {}')
    >>> signatures["twice"].parameters[0].shape
    ('n',)
    """
    return {
        name: Signature(name, tuple(_parameter(name, text) for text in _split(parameters)))
        for name, parameters in _KERNEL.findall(source)
    }


def _split(parameters: str) -> list[str]:
    """Cut a parameter list at the commas outside of brackets."""
    return [" ".join(text.split()) for text in re.split(r",(?![^\[]*\])", parameters)]


def _parameter(kernel: str, text: str) -> Parameter:
    match = _PARAMETER.match(text)
    if match is None or match.group(1) not in _DTYPES:
        raise ValueError(f"kernel {kernel}: '{text}' is not declared as kernels/README.md says")
    kind, pointer, name, shape = match.groups()
    if bool(pointer) != (shape is not None):
        raise ValueError(f"kernel {kernel}: pointers, and only they, have a shape: '{text}'")
    if not pointer:
        return Parameter(name, _DTYPES[kind])
    axes, _, stride = shape.partition(";")
    sizes = tuple(axis.strip() for axis in axes.split(","))
    if not all(_SIZE.match(size) for size in sizes):
        raise ValueError(f"kernel {kernel}: the shape of '{text}' cannot be read")
    return Parameter(name, _DTYPES[kind], sizes, stride.strip() or None)


def _folder() -> Path:
    """Where the sources are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "kernels"
    return inside if inside.is_dir() else package.parent / "kernels"


@cache
def files() -> list[str]:
    """Names of the files in ``kernels/`` that :func:`source` takes."""
    return sorted(path.stem for path in _folder().glob("*.cu"))


def variants(text: str) -> list[dict[str, int]]:
    """Macros of each variant that a source names; one variant without any where it names none.

    Examples
    --------
    >>> variants("// variants: N=1 N=2"), variants("")
    ([{'N': 1}, {'N': 2}], [{}])
    """
    named = re.findall(r"^// variants:(.*)$", text, re.MULTILINE)
    macros = [macro.split("=") for line in named for macro in line.split()]
    return [{name: int(value)} for name, value in macros] or [{}]


def source(file: str) -> str:
    """Source of ``kernels/<file>.cu`` with the common header in its place.

    CuPy's cache of compiled kernels does not look into headers, so there must be none.
    """
    header = (_folder() / _HEADER).read_text().replace("#pragma once", "")
    text = (_folder() / f"{file}.cu").read_text()
    return text.replace(f'#include "{_HEADER}"', header)
