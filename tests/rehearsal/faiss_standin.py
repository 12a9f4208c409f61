"""The stand-in for faiss with a GPU: faiss-cpu and the brute-force search that only a GPU has."""

from __future__ import annotations

import inspect
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import faiss as host_faiss
import numpy as np
import torch

from tests.rehearsal.record import note, transfer

__all__ = ["TorchUtilsFinder", "make"]

_MOST = 2048
_WORST = np.finfo(np.float32).max


class StandardGpuResources:
    """``faiss.StandardGpuResources``."""

    def setTempMemory(self, size: int) -> None:  # noqa: N802 - its name in the library
        note("faiss.StandardGpuResources.setTempMemory", (size,), {})
        if not isinstance(size, int):
            raise TypeError("a size is a host integer")

    def noTempMemory(self) -> None:  # noqa: N802
        note("faiss.StandardGpuResources.noTempMemory", (), {})

    def setPinnedMemory(self, size: int) -> None:  # noqa: N802
        note("faiss.StandardGpuResources.setPinnedMemory", (size,), {})

    def setDefaultNullStreamAllDevices(self) -> None:  # noqa: N802
        note("faiss.StandardGpuResources.setDefaultNullStreamAllDevices", (), {})

    def setDefaultStream(self, device: int, stream: Any) -> None:  # noqa: N802
        note("faiss.StandardGpuResources.setDefaultStream", (device, stream), {})

    def getDefaultStream(self, device: int) -> Any:  # noqa: N802
        return 0


def _search(queries: Any, base: Any, k: int, metric: Any) -> tuple[Any, Any]:
    """The k nearest, of equals the last: a GPU promises no order among them."""
    if metric not in {host_faiss.METRIC_L2, host_faiss.METRIC_INNER_PRODUCT}:
        raise NotImplementedError("rehearsed with L2 and inner products")
    if not 1 <= k <= _MOST:
        raise RuntimeError(
            f"Error in bfKnn: 'k <= getMaxKSelection()' failed: k {k} exceeds the limit {_MOST}"
        )
    inner = metric == host_faiss.METRIC_INNER_PRODUCT
    found = queries @ base.T
    if not inner:
        squares = (base * base).sum(axis=1), (queries * queries).sum(axis=1)
        found = np.maximum(squares[1][:, None] + squares[0] - 2 * found, np.float32(0))
    last_first = -np.arange(len(base))
    order = np.lexsort((np.broadcast_to(last_first, found.shape), -found if inner else found))
    order = order[:, :k]
    values = np.full((len(queries), k), -_WORST if inner else _WORST, np.float32)
    labels = np.full((len(queries), k), -1, np.int64)
    values[:, : order.shape[1]] = np.take_along_axis(found, order, axis=1)
    labels[:, : order.shape[1]] = order
    return values, labels


def _tensor(tensor: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        raise AttributeError(f"{type(tensor)} has no attribute 'is_contiguous'")
    if tensor.ndim != 2 or not (tensor.is_contiguous() or tensor.t().is_contiguous()):
        raise TypeError("matrix should be row or column-major")
    if tensor.dtype != torch.float32:
        raise TypeError("rehearsed with float32; faiss also takes half precision")
    return tensor.detach().numpy()


def _knn_tensors(
    res: Any,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,  # noqa: N803 - names of the library
    I: Any = None,  # noqa: N803, E741
    metric: Any = host_faiss.METRIC_L2,
    device: int = -1,
    use_cuvs: bool = False,
) -> tuple[Any, Any]:
    """What ``faiss.contrib.torch_utils`` puts in place; it takes no limits of memory."""
    if isinstance(xb, np.ndarray):
        return _knn_arrays(res, xq, xb, k, D, I, metric, device)
    if not isinstance(res, StandardGpuResources) or not isinstance(k, int):
        raise TypeError("resources and a host integer")
    values, labels = (torch.from_numpy(f) for f in _search(_tensor(xq), _tensor(xb), k, metric))
    if D is not None:
        assert D.shape == values.shape
        assert D.dtype == torch.float32
        values = D.copy_(values)
    if I is not None:
        assert I.shape == labels.shape
        if I.dtype not in {torch.int64, torch.int32}:
            raise TypeError("I must be i64 or i32")
        labels = I.copy_(labels)
    return values, labels


def _knn_arrays(
    res: Any,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,  # noqa: N803 - names of the library
    I: Any = None,  # noqa: N803, E741
    metric: Any = host_faiss.METRIC_L2,
    device: int = -1,
    use_cuvs: bool = False,
    vectorsMemoryLimit: int = 0,  # noqa: N803
    queriesMemoryLimit: int = 0,  # noqa: N803
) -> tuple[Any, Any]:
    """As it is before tensors are provided for: host arrays in, host arrays out."""
    for array in (xq, xb):
        if not array.flags.c_contiguous:  # a tensor has no such attribute, as in faiss
            raise TypeError("rehearsed with contiguous rows")
        if array.dtype != np.float32:
            raise TypeError("xq must be f32 or f16")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array)} instead of a host array")
        transfer("host-to-device", array.nbytes)
    found = _search(xq, xb, k, metric)
    transfer("device-to-host", found[0].nbytes + found[1].nbytes)
    return found


class _Module(ModuleType):
    """faiss-cpu, but for what a GPU adds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(host_faiss, name)

    def knn_gpu(self, *arguments: Any, **options: Any) -> Any:
        note("faiss.knn_gpu", arguments, options)
        function = _knn_tensors if self.takes_tensors else _knn_arrays
        inspect.signature(function).bind(*arguments, **options)
        return function(*arguments, **options)

    takes_tensors = False
    StandardGpuResources = StandardGpuResources

    @staticmethod
    def get_num_gpus() -> int:
        note("faiss.get_num_gpus", (), {})
        return 1


class TorchUtilsFinder:
    """Finds ``faiss.contrib.torch_utils``, whose import is what teaches faiss about tensors."""

    def __init__(self, module: _Module):
        self._module = module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "faiss.contrib.torch_utils":
            return None
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._module.takes_tensors = True


def make() -> tuple[dict[str, ModuleType], TorchUtilsFinder]:
    """The modules, by name, and the finder to be put on ``sys.meta_path``."""
    module: Any = _Module("faiss")
    module.__version__ = host_faiss.__version__
    module.__path__ = []
    module.contrib = ModuleType("faiss.contrib")
    module.contrib.__path__ = []
    return {"faiss": module, "faiss.contrib": module.contrib}, TorchUtilsFinder(module)
