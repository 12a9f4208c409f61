"""CUDA kernels run on the host, behind the interface of ``cupy.RawModule``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tests.kernels.build import CompileError, Declaration, Parameter, build
from tests.kernels.memory import GuardedCopy

__all__ = ["CompileError", "HostKernel", "HostModule", "KernelError", "Order"]

Order: TypeAlias = Literal["forward", "reverse"]

_DEFAULT_SHARED = 48 << 10
_MOST_SHARED = 227 << 10
_MOST_BLOCKS = 2**31 - 1


class KernelError(RuntimeError):
    """A launch did what it must not do: where, and what."""


class _Shape(ctypes.Structure):
    _fields_: ClassVar = [(name, ctypes.c_uint) for name in ("grid", "block", "shared", "reverse")]


class _Outcome(ctypes.Structure):
    _fields_: ClassVar = [("message", ctypes.c_char * 512), ("fault_address", ctypes.c_uint64)]


class HostModule:
    """Compiled CUDA source whose kernels work on NumPy arrays.

    The threads of a block run one after another, each until it waits, and so do the blocks.
    Shared memory is poisoned before each block; invalid accesses, undefined behaviour and
    barriers that not all threads reach raise :class:`KernelError`.

    Parameters
    ----------
    code : str
    options : tuple of str
        ``-I`` and ``-D`` are honoured.

    Attributes
    ----------
    order : str
        In which order threads and blocks run, ``"forward"`` or ``"reverse"``. Results that differ
        show a race. May be set for all modules or for one.
    launch_shape : (grid, block), or None
        Used for every launch in place of what the caller says; dynamic shared memory grows with
        the block.
    sanitize : bool
        Whether modules compiled from now on also look for undefined behaviour (overflow, bounds of
        static arrays, alignment); slower.

    Raises
    ------
    CompileError
        With the compiler's messages.
    """

    order: Order = "forward"
    launch_shape: tuple[int, int] | None = None
    sanitize: bool = True

    def __init__(self, code: str, options: tuple[str, ...] = ()):
        self._library = build(code, options, sanitize=self.sanitize)

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels' names, in the order of the source."""
        return tuple(self._library.kernels)

    def get_function(self, name: str) -> HostKernel:
        """The kernel of that name."""
        if name not in self._library.kernels:
            raise KeyError(f"no kernel {name!r} in this source, which has {list(self.names)}")
        function = getattr(self._library.handle, f"shim_launch_{name}")
        return HostKernel(self, self._library.kernels[name], function)


class HostKernel:
    """A kernel, to be called like a function of CuPy.

    Attributes
    ----------
    max_dynamic_shared_size_bytes : int
        More dynamic shared memory is refused; to be raised as on a GPU.
    """

    def __init__(self, module: HostModule, declaration: Declaration, function: Any):
        self._module = module
        self._declaration = declaration
        self._function = function
        self.max_dynamic_shared_size_bytes = _DEFAULT_SHARED

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The kernel's parameters, in order."""
        return self._declaration.parameters

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[npt.NDArray[Any] | np.generic],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Run the kernel and write its results into the arrays; none if it fails.

        Raises
        ------
        TypeError
            For a wrong number of arguments, kind or dtype.
        ValueError
            For an array or a launch that the kernel cannot take.
        KernelError
            See the class; the arrays are as before.
        """
        shape = self._shape(_single(grid, "grid"), _single(block, "block"), shared_mem)
        arrays = self._check(args)
        copies = {place: GuardedCopy(array) for place, array in arrays.items()}
        self._launch(shape, args, copies)
        for place, copy in copies.items():
            damage = copy.damage()
            if damage is not None:
                raise KernelError(f"{self._at(place)} was written outside its bounds: {damage}")
        for place, copy in copies.items():
            if not self.parameters[place].const:
                copy.copy_back()

    def _shape(self, grid: int, block: int, shared: int) -> _Shape:
        if self._module.launch_shape is not None:
            wanted = block
            grid, block = self._module.launch_shape
            shared = max(shared, -(-shared * block // wanted))
        name, most = self._declaration.name, self._declaration.most_threads
        if not 1 <= block <= most:
            raise ValueError(f"kernel {name} takes blocks of 1 to {most} threads, not {block}")
        if not 1 <= grid <= _MOST_BLOCKS:
            raise ValueError(f"kernel {name}: no grid has {grid} blocks")
        if not 0 <= shared <= min(self.max_dynamic_shared_size_bytes, _MOST_SHARED):
            raise ValueError(
                f"kernel {name}: {shared} bytes of dynamic shared memory, more than the "
                f"{self.max_dynamic_shared_size_bytes} allowed"
            )
        return _Shape(grid, block, shared, self._module.order == "reverse")

    def _check(self, args: Sequence[object]) -> dict[int, npt.NDArray[Any]]:
        """The arrays among the arguments, all of which fit the kernel's parameters."""
        if len(args) != len(self.parameters):
            raise TypeError(
                f"kernel {self._declaration.name} takes {len(self.parameters)} arguments, "
                f"not {len(args)}"
            )
        arrays: dict[int, npt.NDArray[Any]] = {}
        for place, (parameter, value) in enumerate(zip(self.parameters, args, strict=True)):
            if not _fits(parameter, value):
                raise TypeError(f"{self._at(place)} must be {parameter}, not {_described(value)}")
            if isinstance(value, np.ndarray):
                self._check_array(place, value)
                arrays[place] = value
        self._check_apart(arrays)
        return arrays

    def _check_array(self, place: int, array: npt.NDArray[Any]) -> None:
        if not _in_rows(array):
            raise ValueError(
                f"{self._at(place)} is neither contiguous nor made of contiguous rows: "
                f"shape {array.shape}, strides {array.strides}"
            )
        if not self.parameters[place].const and not array.flags.writeable:
            raise ValueError(f"{self._at(place)} is written, but the array is read-only")

    def _check_apart(self, arrays: dict[int, npt.NDArray[Any]]) -> None:
        """The kernel sees copies, so what it writes would not show in another argument."""
        for place, array in arrays.items():
            for other in range(place):
                const = self.parameters[place].const and self.parameters[other].const
                if other in arrays and not const and np.shares_memory(array, arrays[other]):
                    raise ValueError(f"{self._at(place)} overlaps {self._at(other)}")

    def _launch(
        self, shape: _Shape, args: Sequence[object], copies: dict[int, GuardedCopy]
    ) -> None:
        values = [
            np.array(copies[place].address if place in copies else value)
            for place, value in enumerate(args)
        ]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        outcome = _Outcome()
        if self._function(ctypes.byref(shape), pointers, ctypes.byref(outcome)) == 0:
            return
        message = f"kernel {self._declaration.name}: {outcome.message.decode(errors='replace')}"
        for place, copy in copies.items():
            where = copy.where(outcome.fault_address)
            if where is not None:
                message += f": {where} of {self._at(place)}"
        raise KernelError(message)

    def _at(self, place: int) -> str:
        name = self.parameters[place].name
        return f"argument {place} '{name}' of kernel {self._declaration.name}"


def _single(sizes: Sequence[int], what: str) -> int:
    """The one size of a grid or block of one dimension."""
    if not 1 <= len(sizes) <= 3 or any(size != 1 for size in sizes[1:]):
        raise ValueError(f"kernels are launched with a {what} of one dimension, not {sizes}")
    return int(sizes[0])


def _in_rows(array: npt.NDArray[Any]) -> bool:
    """Whether the elements of a row follow each other, and the rows do not overlap."""
    least = array.itemsize
    for axis in reversed(range(array.ndim)):
        size, step = array.shape[axis], array.strides[axis]
        if size > 1 and (step < least or (axis == array.ndim - 1 and step != least)):
            return False
        if size > 1:
            least = step * size
    return True


def _fits(parameter: Parameter, value: object) -> bool:
    if parameter.pointer:
        return isinstance(value, np.ndarray) and value.dtype == parameter.dtype
    return isinstance(value, np.generic) and value.dtype == parameter.dtype


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"
