"""The rules of the stand-ins for CuPy: what must be refused, and what must be written down."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from tests.rehearsal.helpers import refused
from tests.rehearsal.install import Stage
from tests.rehearsal.record import UndefinedError

# -- CuPy: host and device -------------------------------------------------------------------------


def test_no_array_slips_to_the_host(cp: Any) -> None:
    array = cp.arange(3)
    for attempt in (
        np.asarray,
        np.sum,
        np.sqrt,
        lambda a: np.ones(3) * a,
        lambda a: a + np.ones(3),
    ):
        with pytest.raises(TypeError):
            attempt(array)
    with pytest.raises(TypeError, match="Unsupported type"):
        cp.sort(np.ones(3))
    with pytest.raises(UndefinedError, match="host array"):
        array[np.array([0])]


def test_transfers_are_written_down(stage: Stage, cp: Any) -> None:
    array = cp.asarray(np.ones(4, np.float32))
    assert [t.nbytes for t in stage.moved("host-to-device")] == [16]
    assert float(array.sum()) == 4.0
    assert int(array.argmax()) == 0
    assert bool((array > 0).all())
    assert array[0].item() == 1.0
    assert [t.nbytes for t in stage.moved("scalar")] == [4, 8, 1, 4]
    assert array.tolist() == cp.asnumpy(array).tolist() == array.get().tolist()
    assert [t.nbytes for t in stage.moved("device-to-host")] == [16] * 3


def test_a_transfer_names_the_projects_function(stage: Stage, cp: Any) -> None:
    code = compile("def fetch(a):\n    return int(a.sum())", "fetch.py", "exec")
    module: dict[str, Any] = {"__name__": "gpu_coldstart.somewhere"}
    exec(code, module)
    assert module["fetch"](cp.arange(3)) == 3
    assert stage.transfers[-1].where == "gpu_coldstart/somewhere.py:fetch"
    int(cp.arange(3).sum())
    assert stage.transfers[-1].where == ""


def test_reductions_and_items_stay_arrays(cp: Any) -> None:
    array = cp.arange(6).reshape(2, 3)
    for found in (array.sum(), array[0, 1], array.max(), cp.argmax(array), *iter(array[0])):
        assert isinstance(found, cp.ndarray)
        assert found.shape == ()


def test_scalars_promote_as_they_do_in_every_version(cp: Any) -> None:
    array = cp.ones(2, dtype=cp.float32)
    assert (2.0 * array).dtype == (np.float32(2) * array).dtype == np.float32
    assert (cp.arange(3, dtype=cp.int32) + 1).dtype == np.int32
    refused(
        (UndefinedError, "CuPy 14 only"),
        lambda: array * np.float64(2),
        lambda: np.float64(2) * array,
    )


# -- CuPy: what is left undefined ------------------------------------------------------------------


def test_indices_outside_raise_instead_of_wrapping_around(cp: Any) -> None:
    array = cp.arange(4)
    refused(
        (UndefinedError, "wrap around"),
        lambda: array[cp.asarray([4])],
        lambda: array.take(cp.asarray([4])),
        lambda: cp.take_along_axis(array, cp.asarray([-5]), axis=0),
        lambda: array.__setitem__(cp.asarray([9]), 1),
    )
    assert array[cp.asarray([-1])].tolist() == [3]
    assert array[array > 1].tolist() == [2, 3]


def test_assignments_whose_result_depends_on_the_order(cp: Any) -> None:
    array = cp.arange(4)
    with pytest.raises(UndefinedError, match="one place"):
        array[cp.asarray([0, 0])] = cp.asarray([1, 2])
    array[cp.asarray([0, 0])] = cp.asarray([7, 7])
    assert array.tolist()[0] == 7
    with pytest.raises(UndefinedError, match="overlapping"):
        array[1:] = array[:-1]
    array[2:] = array[:2]
    assert array.tolist() == [*array[:2].tolist(), *array[:2].tolist()]


def test_no_integer_stands_for_nan(cp: Any) -> None:
    for value in (np.nan, np.inf, 3e9):
        with pytest.raises(UndefinedError, match="undefined"):
            cp.full(2, value).astype(cp.int32)


def test_searching_in_what_does_not_ascend(cp: Any) -> None:
    with pytest.raises(UndefinedError, match="ascend"):
        cp.searchsorted(cp.asarray([2, 1]), cp.asarray([1]))
    with pytest.raises(NotImplementedError):
        cp.searchsorted(cp.asarray([1, 2]), [1])


# -- CuPy: narrower than NumPy ---------------------------------------------------------------------


def test_restrictions_of_functions(cp: Any) -> None:
    array = cp.asarray([2, 1, 1])
    with pytest.raises(TypeError, match="Unsupported type"):
        cp.lexsort((array, array))
    assert cp.lexsort(cp.stack([cp.arange(3), array])).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="repeats"):
        cp.repeat(array, array)
    with pytest.raises(ValueError, match="kind"):
        cp.argsort(array, kind="quicksort")
    assert cp.argsort(array).tolist() == [1, 2, 0]
    assert cp.bincount(array, weights=array.astype(cp.float32)).dtype == np.float64
    with pytest.raises(TypeError):
        cp.sum(array, where=array > 1)
    with pytest.raises(TypeError):
        cp.zeros(array.sum())


def test_what_cupy_lacks_is_not_there(cp: Any) -> None:
    refused(
        (AttributeError, "attribute"),
        lambda: cp.char,
        lambda: cp.add.reduceat,
        lambda: cp.random.default_rng(0).permutation,
        lambda: cp.arange(3).searchsorted_in,
    )


def test_only_numbers_become_arrays(cp: Any) -> None:
    for host in (np.array(["a"]), np.array([None]), np.zeros(1, "M8[us]"), np.zeros(1, "i4,i4")):
        with pytest.raises(TypeError, match="dtype"):
            cp.asarray(host)


def test_too_large_an_array_is_out_of_memory(stage: Stage, cp: Any) -> None:
    stage.largest_allocation = 100
    with pytest.raises(cp.cuda.memory.OutOfMemoryError):
        cp.zeros(1000)
    with pytest.raises(MemoryError):
        cp.arange(5)[:, None] * cp.arange(5)


def test_tensors_share_memory(cp: Any) -> None:
    array = cp.zeros((2, 2), dtype=cp.float32)
    tensor = torch.utils.dlpack.from_dlpack(array)
    tensor += 1
    assert array.tolist() == [[1, 1], [1, 1]]
    cp.from_dlpack(tensor)[0] = 5
    assert tensor.tolist() == [[5, 5], [1, 1]]
    with pytest.raises(BufferError, match="gradient"):
        cp.from_dlpack(torch.ones(2, requires_grad=True))


# -- our own kernels -------------------------------------------------------------------------------

_TWICE = """
extern "C" __global__ void twice(float* values /*[n]*/, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) values[i] *= 2;
}
"""


def test_kernels_run_and_take_no_python_numbers(cp: Any) -> None:
    twice = cp.RawModule(code=_TWICE, options=("--std=c++17",)).get_function("twice")
    array = cp.arange(3, dtype=cp.float32)
    twice((1,), (32,), (array, np.int32(3)))
    assert array.tolist() == [0, 2, 4]
    with pytest.raises(TypeError, match="64 bits"):
        twice((1,), (32,), (array, 3))
    for grid, block in (((0,), (32,)), ((1,), (2048,)), ((1, 70000), (1,))):
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
            twice(grid, block, (array, np.int32(3)))
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="shared"):
        twice((1,), (32,), (array, np.int32(3)), shared_mem=1 << 16)


# -- sparse matrices -------------------------------------------------------------------------------


def _matrix(cp: Any, dense: Any) -> Any:
    sparse = importlib.import_module("cupyx.scipy.sparse")
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))])
    parts = (np.asarray(dense[rows, columns], np.float32), columns, indptr)
    data, indices, offsets = (cp.asarray(part) for part in parts)
    places = (indices.astype(cp.int32), offsets.astype(cp.int32))
    return sparse.csr_matrix((data, *places), shape=dense.shape)


def test_a_sparse_product_comes_unsorted(cp: Any) -> None:
    dense = np.array([[1, 2, 0], [0, 3, 4]], np.float32)
    product = _matrix(cp, dense) @ _matrix(cp, dense.T @ dense)
    assert not product.has_sorted_indices
    assert product.indices.tolist()[:3] == [2, 1, 0]
    product.sort_indices()
    assert product.indices.tolist()[:3] == [0, 1, 2]
    assert product.toarray().tolist() == (dense @ dense.T @ dense).tolist()
    assert not (_matrix(cp, dense) @ cp.ones((3, 2), dtype=cp.float32)).flags.c_contiguous


def test_sparse_matrices_want_short_offsets_and_arrays(cp: Any) -> None:
    sparse = importlib.import_module("cupyx.scipy.sparse")
    one, zero = cp.ones(1, dtype=cp.float32), cp.zeros(1, dtype=cp.int32)
    with pytest.raises(TypeError, match="int32"):
        sparse.csr_matrix((one, zero, cp.asarray([0, 1])), shape=(1, 1))
    with pytest.raises(ValueError, match="cupy arrays"):
        sparse.csr_matrix((np.ones(1), zero, zero), shape=(1, 1))
