"""Between the engine's sparse matrices and SciPy's."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr

__all__ = ["from_scipy", "to_scipy"]


def to_scipy(matrix: Csr) -> sp.csr_array:
    """View a matrix as SciPy's, sharing its arrays where SciPy can hold them."""
    if matrix.nnz < np.iinfo(np.int32).max:
        indptr = matrix.indptr.astype(np.int32)
    else:
        indptr = matrix.indptr
    return sp.csr_array((matrix.data, matrix.indices, indptr), shape=matrix.shape)


def from_scipy(matrix: sp.csr_array) -> Csr:
    """Take over a SciPy matrix: sorted int32 columns, int64 offsets, float32 values."""
    matrix.sort_indices()
    return Csr(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
        matrix.shape,
    )
