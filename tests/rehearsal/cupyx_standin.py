"""The stand-in for ``cupyx.scipy``: SciPy's matrices behind the limits of cuSPARSE."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from tests.rehearsal.cupy_array import Host, Ndarray, host_of, is_scalar, wrap
from tests.rehearsal.record import note, recorded, transfer

__all__ = ["csr_matrix", "make"]


class csr_matrix:  # noqa: N801 - its name in the library
    """``cupyx.scipy.sparse.csr_matrix`` of floating-point numbers.

    A product of two of them has its columns out of order, as cuSPARSE promises none.
    """

    format = "csr"

    def __init__(
        self, arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False, **_: Any
    ):
        note("cupyx.scipy.sparse.csr_matrix", (arg1,), {} if shape is None else {"shape": shape})
        if not isinstance(arg1, tuple) or len(arg1) != 3 or dtype is not None:
            raise TypeError("rehearsed only from (data, indices, indptr)")
        for part in arg1:
            if not isinstance(part, Ndarray) or part.ndim != 1:
                raise ValueError("data, indices, and indptr must be 1-D cupy arrays")
        data, indices, indptr = (part._host for part in arg1)
        self._set(data, indices, indptr, shape)

    def _set(self, data: Host, indices: Host, indptr: Host, shape: Any) -> None:
        if data.dtype not in (np.dtype("float32"), np.dtype("float64")):
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        for name, part in (("indices", indices), ("indptr", indptr)):
            if part.dtype != np.int32:
                raise TypeError(f"{name} are {part.dtype}: cuSPARSE's kernels here take int32 only")
        if shape is None:
            raise ValueError("say the shape: without it the columns are fetched to be counted")
        if len(indptr) != shape[0] + 1 or len(data) != len(indices):
            raise ValueError("index pointer size is wrong, or indices and data differ in size")
        if indptr[0] != 0 or indptr[-1] != len(indices):
            raise ValueError("offsets do not start at 0 and end at the number of entries")
        self._matrix = sp.csr_matrix((data, indices, indptr), shape=shape, copy=False)
        self.has_sorted_indices = True
        """Told by whoever made it; nothing sorts by itself."""

    @classmethod
    def _of(cls, matrix: Any, *, sorted_indices: bool) -> csr_matrix:
        made = object.__new__(cls)
        indices = matrix.indices.astype(np.int32)
        made._set(matrix.data, indices, matrix.indptr.astype(np.int32), matrix.shape)
        made.has_sorted_indices = sorted_indices
        return made

    data = property(lambda self: wrap(self._matrix.data))
    indices = property(lambda self: wrap(self._matrix.indices))
    indptr = property(lambda self: wrap(self._matrix.indptr))
    shape = property(lambda self: self._matrix.shape)
    dtype = property(lambda self: self._matrix.dtype)
    nnz = property(lambda self: int(self._matrix.nnz))
    T = property(lambda self: self.transpose())

    def sort_indices(self) -> None:
        note("cupyx.scipy.sparse.csr_matrix.sort_indices", (), {})
        self._matrix.has_sorted_indices = False
        self._matrix.sort_indices()
        self.has_sorted_indices = True

    def sum_duplicates(self) -> None:
        """Adds up by atomic operations, in an order of its own each time."""
        note("cupyx.scipy.sparse.csr_matrix.sum_duplicates", (), {})
        self._matrix.has_canonical_format = False
        self._matrix.sum_duplicates()
        self.has_sorted_indices = True

    def transpose(self, axes: Any = None, copy: bool = False) -> csc_matrix:
        return csc_matrix(self)

    def tocsr(self, copy: bool = False) -> csr_matrix:
        return self

    def get(self, stream: Any = None) -> Any:
        transfer("device-to-host", self._matrix.data.nbytes + self._matrix.indices.nbytes)
        return self._matrix.copy()

    def toarray(self, order: Any = None, out: Any = None) -> Any:
        note("cupyx.scipy.sparse.csr_matrix.toarray", (), {})
        return wrap(self._matrix.toarray(order))

    def __len__(self) -> int:
        raise TypeError("sparse matrix length is ambiguous; use nnz")

    def __matmul__(self, other: Any) -> Any:
        note("cupyx.scipy.sparse.csr_matrix.__matmul__", (other,), {})
        if isinstance(other, csr_matrix | csc_matrix):
            if self.dtype != other.dtype:
                raise ValueError("the two matrices differ in type")
            return csr_matrix._of(
                _backwards((self._matrix @ other.tocsr()._matrix).tocsr()), sorted_indices=False
            )
        dense = host_of(other)
        if dense.ndim not in (1, 2) or dense.dtype != self.dtype:
            raise ValueError(f"{self.dtype} times {dense.dtype} of {dense.ndim} axes")
        # cuSPARSE hands back columns one after another.
        return wrap(np.asfortranarray(self._matrix @ dense))

    def __mul__(self, other: Any) -> Any:
        if not is_scalar(other):
            raise TypeError("say @ for a product of matrices")
        return csr_matrix._of(self._matrix * other, sorted_indices=self.has_sorted_indices)


class csc_matrix:  # noqa: N801 - its name in the library
    """A transposed :class:`csr_matrix`: to be made rows again, or multiplied."""

    format = "csc"

    def __init__(self, rows: csr_matrix):
        self._rows = rows
        self.shape = rows.shape[::-1]
        self.dtype = rows.dtype
        self.nnz = rows.nnz
        self.data, self.indices, self.indptr = rows.data, rows.indices, rows.indptr

    T = property(lambda self: self._rows)

    def tocsr(self, copy: bool = False) -> csr_matrix:
        note("cupyx.scipy.sparse.csc_matrix.tocsr", (), {})
        return csr_matrix._of(self._rows._matrix.T.tocsr(), sorted_indices=True)

    def __matmul__(self, other: Any) -> Any:
        return self.tocsr() @ other


def _backwards(matrix: Any) -> Any:
    """The same matrix, each row's entries in reverse."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = matrix.indptr[rows] + matrix.indptr[rows + 1] - 1 - np.arange(matrix.nnz)
    parts = (matrix.data[order], matrix.indices[order], matrix.indptr)
    return sp.csr_matrix(parts, shape=matrix.shape)


def _scatter_add(a: Any, slices: Any, value: Any) -> None:
    raise NotImplementedError("adds atomically, in an order that changes from run to run")


def _solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = False,
) -> Any:
    """cuBLAS divides by whatever stands in the diagonal."""
    if trans or unit_diagonal or check_finite:
        raise NotImplementedError("rehearsed as it is called")
    triangle, right = host_of(a), host_of(b)
    if triangle.dtype != right.dtype or triangle.dtype.kind != "f":
        raise NotImplementedError("rehearsed with floating-point numbers of one type")
    if not np.diagonal(triangle).all():
        return wrap(np.full_like(right, np.nan))
    return wrap(scipy.linalg.solve_triangular(triangle, right, lower=lower, check_finite=False))


def make() -> dict[str, ModuleType]:
    """The modules, by name."""
    names = ("cupyx", "cupyx.scipy", "cupyx.scipy.linalg", "cupyx.scipy.sparse")
    modules: dict[str, Any] = {name: ModuleType(name) for name in names}
    modules["cupyx"].scipy = modules["cupyx.scipy"]
    modules["cupyx"].scatter_add = recorded("cupyx.scatter_add", _scatter_add)
    modules["cupyx.scipy"].linalg = modules["cupyx.scipy.linalg"]
    name = "cupyx.scipy.linalg.solve_triangular"
    modules["cupyx.scipy.linalg"].solve_triangular = recorded(name, _solve_triangular)
    modules["cupyx.scipy"].sparse = modules["cupyx.scipy.sparse"]
    modules["cupyx.scipy.sparse"].csr_matrix = csr_matrix
    modules["cupyx.scipy.sparse"].issparse = lambda x: isinstance(x, csr_matrix | csc_matrix)
    return modules
