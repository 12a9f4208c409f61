"""Arguments as the kernels get them: copies with nothing but guards around them.

A copy ends where memory ends that may be touched (up to 15 bytes before it, as it begins at a
multiple of 16), so that reading or writing past it faults. What lies before it in its pages, the
bytes behind it, and the gaps between the rows of a matrix that is not contiguous hold a pattern
that is checked afterwards, and that reads as NaN or as an index far out of range.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["POISON", "GuardedCopy"]

POISON = 0x7FFDEAD5
_FORBIDDEN = 1 << 20
_LEAST_ZONE = 64
_ALIGNMENT = 16

_Bytes = npt.NDArray[np.uint8]
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def _span(array: npt.NDArray[Any]) -> int:
    """Bytes from an array's first element to behind its last."""
    if array.size == 0:
        return 0
    steps = zip(array.shape, array.strides, strict=True)
    reach: int = sum((size - 1) * step for size, step in steps)
    return reach + array.itemsize


class GuardedCopy:
    """A copy of an array that kernels work on.

    Attributes
    ----------
    address : int
        Of the copy's first element, a multiple of 16.
    """

    def __init__(self, array: npt.NDArray[Any]):
        self._array = array
        span = _span(array)
        page = mmap.PAGESIZE
        usable = -(-(span + _LEAST_ZONE + _ALIGNMENT) // page) * page
        memory = mmap.mmap(-1, usable + 2 * _FORBIDDEN, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        whole: _Bytes = np.frombuffer(memory, dtype=np.uint8)
        self._mapping = (whole.ctypes.data, whole.ctypes.data + len(whole))
        for start in (0, _FORBIDDEN + usable):
            if _libc.mprotect(self._mapping[0] + start, _FORBIDDEN, 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        self._bytes = whole[_FORBIDDEN : _FORBIDDEN + usable]
        self._start = (usable - span) // _ALIGNMENT * _ALIGNMENT
        self._stop = self._start + span
        self.address = self._bytes.ctypes.data + self._start
        self._copy = self._view(self._bytes)
        self._fill()
        self._copy[...] = array

    def _view(self, memory: _Bytes) -> npt.NDArray[Any]:
        array = self._array
        return np.ndarray(
            array.shape, array.dtype, memory[self._start :].data, strides=array.strides
        )

    def _fill(self) -> None:
        """Poison what the copy does not cover: all of it where there are gaps."""
        words = self._bytes.view(np.uint32)
        if self._copy.nbytes != self._stop - self._start:
            words[:] = POISON
        words[: self._start // 4] = POISON
        words[self._stop // 4 :] = POISON

    def where(self, address: int) -> str | None:
        """An address in words, if it belongs to this copy or what is around it."""
        if not self._mapping[0] <= address < self._mapping[1]:
            return None
        if address < self.address:
            return f"{self.address - address} bytes before the start"
        return f"{address - self.address - (self._stop - self._start)} bytes past the end"

    def damage(self) -> str | None:
        """Where a guard was written over, in words; None if nowhere."""
        wanted = np.full(len(self._bytes) // 4, POISON, dtype=np.uint32).view(np.uint8)
        self._view(wanted)[...] = self._copy
        changed = np.flatnonzero(wanted != self._bytes)
        if len(changed) == 0:
            return None
        first, last = int(changed[0]), int(changed[-1])
        if last >= self._stop:
            return f"up to byte {last - self._stop} past the end"
        if first < self._start:
            return f"from {self._start - first} bytes before the start"
        return f"between the rows, {first - self._start} bytes from the start"

    def copy_back(self) -> None:
        """Write what the kernel left to the array."""
        self._array[...] = self._copy
