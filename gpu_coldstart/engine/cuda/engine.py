"""The CUDA engine: cuDF, cuML, CuPy, faiss-gpu, PyTorch and our own kernels, on one GPU.

Arrays pass between the libraries without copies (DLPack, ``__cuda_array_interface__``), and all
take memory from one pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cupy as cp
import pyarrow as pa
import torch

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import (
    AlsOptions,
    Array,
    Column,
    Csr,
    Engine,
    HostArray,
    Kmeans,
    KmeansOptions,
    PmiOptions,
    RankMetrics,
    Step,
    Svd,
    SvdOptions,
)
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.engine.cuda import (
    geometry,
    graph,
    kernels,
    layers,
    lloyd,
    ranking,
    spaces,
    sparse,
)
from gpu_coldstart.engine.cuda.candidates import Faiss, Products
from gpu_coldstart.engine.cuda.kernels import BLOCK
from gpu_coldstart.engine.cuda.memory import Memory, out_of_memory
from gpu_coldstart.errors import DeviceError, OutOfDeviceMemoryError, UserError

__all__ = ["CudaEngine", "PascalEngine"]

_KEPT_SHARE = 3
"""At most this part of the memory is taken by a matrix kept for speed only."""

_UNBOUNDED_KMEANS = (10, 0)
"""Compute capability from which on no limit bounds the memory of cuML's k-means."""

_BFLOAT16 = (8, 0)
"""Compute capability from which on tensor cores multiply bfloat16."""


class CudaEngine(Engine):
    """Every primitive of :class:`~gpu_coldstart.engine.base.Engine` in GPU memory.

    Parameters
    ----------
    memory_budget : int or None
        Bytes of GPU memory to stay below; None for nine tenths of what is free.

    Raises
    ------
    MemoryBudgetError
        When the budget cannot be had.
    """

    name = "cuda"
    label = "CUDA GPU"
    threads = 0
    users_at_once = 512
    xp: Any = cp
    _rapids = True

    def __init__(self, memory_budget: int | None = None):
        self._memory = Memory(memory_budget, rapids=self._rapids)
        self.resident_bytes = self._memory.pool // _KEPT_SHARE
        self.device = torch.cuda.get_device_name()
        self._cuml = self._rapids and torch.cuda.get_device_capability() < _UNBOUNDED_KMEANS
        source = Faiss(self._memory) if self._rapids else Products()
        self._search = geometry.Search(self._memory, source)

    def check_other(self, device: int) -> None:
        cards = torch.cuda.device_count()
        if device >= cards:
            raise DeviceError(device, cards)
        model = torch.cuda.get_device_name(device)
        if model != self.device:
            raise UserError(
                f"GPU {device} is a {model}, and GPU {torch.cuda.current_device()} a "
                f"{self.device}, which would come to other results: name GPUs of one model"
            )

    def peak_mb(self) -> float:
        return self._memory.peak_mb()

    def reserved_mb(self) -> float:
        return self._memory.reserved_mb()

    def explain(self, error: BaseException) -> UserError | None:
        lacking = out_of_memory(error)
        return OutOfDeviceMemoryError(self._memory.budget, "this run") if lacking else None

    def compile(self) -> Iterator[str]:
        return kernels.compile_all()

    def caches(self) -> tuple[Path, ...]:
        return (kernels.cache(),)

    # -- moving data ---------------------------------------------------------------------------

    def asarray(self, host: HostArray) -> Array:
        return cp.asarray(host)

    def to_host(self, array: Array) -> HostArray:
        host: HostArray = cp.asnumpy(array)
        return host

    def to_torch(self, array: Array) -> torch.Tensor:
        return torch.utils.dlpack.from_dlpack(array)

    def from_torch(self, tensor: torch.Tensor) -> Array:
        return cp.from_dlpack(tensor.detach())

    def read(self, source: Path | pa.Table, columns: Sequence[str]) -> dict[str, Column]:
        from gpu_coldstart.engine.cuda import read

        return read.read(source, columns)

    def multiplies_bfloat16(self) -> bool:
        return torch.cuda.get_device_capability() >= _BFLOAT16

    def chained(
        self, model: torch.nn.Module, parts: Sequence[torch.nn.Module]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        on_card = all(weights.is_cuda for weights in model.parameters())
        return layers.fused(parts) if on_card else model

    def repeated(self, step: Step, changed: Sequence[torch.Tensor]) -> Step:
        return graph.repeated(step, changed)

    # -- events to matrices --------------------------------------------------------------------

    def lookup(self, ids: Array, keys: Array) -> Array:
        if len(keys) == 0:
            return cp.full(len(ids), -1, dtype=cp.int32)
        places = cp.minimum(cp.searchsorted(keys, ids), len(keys) - 1)
        return cp.where(keys[places] == ids, places, -1).astype(cp.int32)

    def csr(self, rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> Csr:
        return sparse.csr(rows, columns, values, shape)

    def transpose(self, matrix: Csr) -> Csr:
        return sparse.transpose(matrix)

    def product(self, left: Csr, right: Csr) -> Csr:
        return sparse.product(self._memory, left, right)

    def take_rows(self, matrix: Csr, rows: Array) -> Csr:
        return sparse.take_rows(matrix, rows)

    def segment_counts(self, labels: Array, matrix: Csr, k: int) -> Csr:
        return ranking.segment_counts(self._memory, labels, matrix, k)

    def row_top(self, matrix: Csr, depth: int) -> tuple[Array, Array]:
        return ranking.row_top(matrix, depth)

    # -- embedding spaces ----------------------------------------------------------------------

    def pmi(self, counts: Csr, options: PmiOptions) -> Csr:
        return spaces.pmi(counts, options)

    def svd(self, matrix: Csr, options: SvdOptions) -> Svd:
        return spaces.svd(matrix, options)

    def als(
        self, affinity: Csr, options: AlsOptions, progress: Callable[[int, float], None]
    ) -> tuple[Array, Array]:
        return spaces.als(self._memory, affinity, options, progress)

    def pool(
        self,
        weights: Csr,
        embeddings: Array,
        *,
        rows: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        d = int(embeddings.shape[1])
        wanted = cp.arange(weights.shape[0]) if rows is None else rows
        target = cp.empty((len(wanted), d), dtype=cp.float32) if out is None else out
        pool, tiles = sparse.pooling(d)
        pool(
            len(wanted) * tiles,
            BLOCK,
            rows=wanted.astype(cp.int64),
            indptr=weights.indptr,
            indices=weights.indices,
            weights=weights.data,
            embeddings=cp.ascontiguousarray(embeddings),
            out=target,
            n=len(wanted),
            d=d,
            group=target.shape[1] // d,
            stride=target.strides[0] // target.itemsize,
            mean=1,
        )
        return target

    def kmeans(self, points: Array, options: KmeansOptions) -> Kmeans:
        k = options.k
        if self._cuml:
            centroids = geometry.kmeans(points, options)
        else:
            centroids = lloyd.kmeans(self, points, options)
        labels, distances = self.nearest(points, centroids, 1)
        occupied = settle.occupy_all(cp, labels[:, 0], distances[:, 0], k)
        means = self.pool(geometry.members(occupied, k), points)
        return geometry.as_kmeans(self._memory, points, occupied, means)

    # -- recommending --------------------------------------------------------------------------

    def nearest(self, points: Array, centroids: Array, n: int) -> tuple[Array, Array]:
        return self._search.nearest(points, centroids, n)

    def top_k(
        self, queries: Array, items: Array, k: int, *, longest: float | None = None
    ) -> tuple[Array, Array]:
        return self._search.top_k(queries, items, k, longest or self.longest(items))

    def soft_allocate(
        self, segments: Array, weights: Array, shares: Csr, k: int, overshoot: int
    ) -> tuple[Array, Array]:
        return ranking.soft_allocate(
            self._memory, segments, weights, shares, k=k, overshoot=overshoot
        )

    def drop_seen(self, tracks: Array, scores: Array, seen: Csr, k: int) -> tuple[Array, Array]:
        return ranking.drop_seen(tracks, scores, seen, k)

    def rank_metrics(self, tracks: Array, truth: Csr, ks: Sequence[int]) -> RankMetrics:
        return ranking.rank_metrics(tracks, truth, ks)


class PascalEngine(CudaEngine):
    """The CUDA engine of a card that RAPIDS and faiss-gpu have left behind (GTX 1080 class).

    Reading runs on the CPU engine, everything else on the card.
    """

    _rapids = False

    def read(self, source: Path | pa.Table, columns: Sequence[str]) -> dict[str, Column]:
        return {
            name: Column(
                cp.asarray(column.values),
                None if column.valid is None else cp.asarray(column.valid),
                column.names,
            )
            for name, column in CpuEngine().read(source, columns).items()
        }
