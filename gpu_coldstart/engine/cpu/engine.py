"""The CPU engine: NumPy, SciPy, PyTorch, and loops of our own compiled by Numba.

It runs the whole flow without a GPU, backs the tests, and is what every other engine is compared
with. Results are bit-identical from run to run on the same machine with as many threads. Numba, and
what only fitting needs, PyTorch among it, is imported where it is first used: serving does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from gpu_coldstart.batches import batches
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
    Svd,
    SvdOptions,
)
from gpu_coldstart.engine.cpu import geometry, ranking, rough, sparse
from gpu_coldstart.engine.cpu.small import small
from gpu_coldstart.engine.cpu.sparse import from_scipy, to_scipy
from gpu_coldstart.engine.cpu.threads import number_of_threads, over_rows
from gpu_coldstart.errors import UserError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["CpuEngine"]


class CpuEngine(Engine):
    """Every primitive of :class:`~gpu_coldstart.engine.base.Engine` in host memory.

    Examples
    --------
    >>> import numpy as np
    >>> engine = CpuEngine()
    >>> plays = engine.csr(np.array([1, 0, 1]), np.array([2, 0, 2]), np.ones(3), (2, 3))
    >>> plays.indices.tolist(), plays.data.tolist()
    ([0, 2], [1.0, 2.0])
    """

    name = "cpu"
    label = "CPU"
    xp: Any = np

    def __init__(self) -> None:
        self.threads = number_of_threads()
        self.resident_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8

    def by_batches(
        self, n: int, make: Callable[[slice], tuple[Array, ...]], *, size: int
    ) -> tuple[Array, ...]:
        each = [*batches(n, size)]
        parts: list[tuple[Array, ...]] = [()] * len(each)

        def work(place: int, _: int) -> None:
            parts[place] = make(each[place])

        over_rows(len(each), 1, work)
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def input_layer(self, inputs: int, outputs: int, block: int) -> nn.Linear:
        from gpu_coldstart.engine.cpu import blocks

        if block < blocks.NARROWEST:
            return super().input_layer(inputs, outputs, block)
        return blocks.BlockLinear(inputs, outputs, block=block)

    def multiplies_bfloat16(self) -> bool:
        return rough.has_instructions()

    def compile(self) -> Iterator[str]:
        # With Numba loaded nothing is too small for it.
        import gpu_coldstart.engine.cpu.search  # noqa: F401

        one = np.zeros((1, 1), np.float32)
        for find, what in ((geometry.top_k, "products"), (geometry.nearest, "distances")):
            find(one, one, 1)
            yield f"the search by {what}"

    def caches(self) -> tuple[Path, ...]:
        from gpu_coldstart.engine.cpu import jit

        return jit.caches()

    # -- moving data ---------------------------------------------------------------------------

    def asarray(self, host: HostArray) -> Array:
        return np.asarray(host)

    def to_host(self, array: Array) -> HostArray:
        return np.asarray(array)

    def to_torch(self, array: Array) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array))

    def from_torch(self, tensor: torch.Tensor) -> Array:
        return tensor.detach().numpy()

    def read(self, source: Path | pa.Table, columns: Sequence[str]) -> dict[str, Column]:
        try:
            if isinstance(source, Path):
                # Unlike read_table, takes no column from the names of folders.
                with pq.ParquetFile(source, page_checksum_verification=True) as file:
                    table = file.read(list(columns))
            else:
                table = source
            return {name: _column(table.column(name)) for name in columns}
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            # Text that is not UTF-8 only shows when the strings are taken out of the pages.
            what = source if isinstance(source, Path) else "an Arrow table"
            reason = first_line(error)
            if isinstance(error, MemoryError):
                raise UserError(f"{what} is damaged or exceeds the memory ({reason})") from error
            raise UserError(f"{what} is damaged ({reason}): write it again") from error

    # -- events to matrices --------------------------------------------------------------------

    def lookup(self, ids: Array, keys: Array) -> Array:
        # Arrow's hash table: several times faster than a binary search for each id.
        places = pc.index_in(pa.array(ids, pa.int64()), value_set=pa.array(keys, pa.int64()))
        return np.array(places.fill_null(-1), np.int32)

    def csr(self, rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> Csr:
        places = (np.asarray(rows, np.int32), np.asarray(columns, np.int32))
        matrix = sp.coo_array((np.asarray(values, np.float32), places), shape=shape).tocsr()
        matrix.sum_duplicates()
        return from_scipy(matrix)

    def transpose(self, matrix: Csr) -> Csr:
        return from_scipy(to_scipy(matrix).T.tocsr())

    def product(self, left: Csr, right: Csr) -> Csr:
        if small(left.nnz * max(1, right.nnz // max(1, right.shape[0]))):
            return from_scipy(to_scipy(left) @ to_scipy(right))
        from gpu_coldstart.engine.cpu import products

        return products.times_sparse(left, right)

    def take_rows(self, matrix: Csr, rows: Array) -> Csr:
        return sparse.take_rows(matrix, rows)

    def segment_counts(self, labels: Array, matrix: Csr, k: int) -> Csr:
        if not small(matrix.nnz):
            from gpu_coldstart.engine.cpu import tally

            if tally.dense_pays(matrix, k):
                return tally.segment_counts(labels, matrix, k)
        segments = np.repeat(np.asarray(labels), np.diff(matrix.indptr))
        once = np.ones(matrix.nnz, np.float32)
        return self.csr(segments, matrix.indices, once, (k, matrix.shape[1]))

    def row_top(self, matrix: Csr, depth: int) -> tuple[Array, Array]:
        return ranking.row_top(matrix, depth)

    # -- embedding spaces ----------------------------------------------------------------------

    def pmi(self, counts: Csr, options: PmiOptions) -> Csr:
        from gpu_coldstart.engine.cpu import spaces

        return spaces.pmi(counts, options)

    def svd(self, matrix: Csr, options: SvdOptions) -> Svd:
        from gpu_coldstart.engine.cpu import spaces

        return spaces.svd(to_scipy(matrix), options)

    def als(
        self, affinity: Csr, options: AlsOptions, progress: Callable[[int, float], None]
    ) -> tuple[Array, Array]:
        from gpu_coldstart.engine.cpu import als

        return als.als(affinity, options, progress)

    def pool(
        self,
        weights: Csr,
        embeddings: Array,
        *,
        rows: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        if out is None:
            n = weights.shape[0] if rows is None else len(rows)
            out = np.empty((n, embeddings.shape[1]), np.float32)
        sparse.pool(weights, embeddings, rows, out)
        return out

    def kmeans(self, points: Array, options: KmeansOptions) -> Kmeans:
        from gpu_coldstart.engine.cpu import kmeans

        return kmeans.kmeans(points, options)

    # -- recommending --------------------------------------------------------------------------

    def nearest(self, points: Array, centroids: Array, n: int) -> tuple[Array, Array]:
        return geometry.nearest(points, centroids, n)

    def longest(self, items: Array) -> float:
        return geometry.longest(items)

    def top_k(
        self, queries: Array, items: Array, k: int, *, longest: float | None = None
    ) -> tuple[Array, Array]:
        return geometry.top_k(queries, items, k, longest)

    def soft_allocate(
        self, segments: Array, weights: Array, shares: Csr, k: int, overshoot: int
    ) -> tuple[Array, Array]:
        return ranking.soft_allocate(segments, weights, shares, k, overshoot)

    def drop_seen(self, tracks: Array, scores: Array, seen: Csr, k: int) -> tuple[Array, Array]:
        return ranking.drop_seen(tracks, scores, seen, k)

    def rank_metrics(self, tracks: Array, truth: Csr, ks: Sequence[int]) -> RankMetrics:
        return ranking.rank_metrics(tracks, truth, ks)


def _column(chunked: pa.ChunkedArray) -> Column:
    """Arrow column to the engine's own, by the rules of :class:`Column`."""
    valid = None
    if chunked.null_count:
        valid = np.asarray(pc.is_valid(chunked).combine_chunks())
    kind = chunked.type
    if pa.types.is_temporal(kind):
        chunked = chunked.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(kind):
        return _strings(chunked, valid)
    values = chunked.cast(pa.int64()).fill_null(0).to_numpy()
    return Column(values, valid)


def _strings(chunked: pa.ChunkedArray, valid: HostArray | None) -> Column:
    """String column (dictionary-encoded or not) to codes into its sorted distinct strings."""
    if len(chunked) == 0:
        return Column(np.zeros(0, np.int32), valid)
    encoded = chunked
    if not pa.types.is_dictionary(chunked.type):
        encoded = pc.dictionary_encode(chunked)
    whole = encoded.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    dictionary = whole.dictionary.to_pylist()
    codes = whole.indices.fill_null(0).to_numpy(zero_copy_only=False)
    if whole.dictionary.null_count:  # null may also be a word of the dictionary
        known = np.array([word is not None for word in dictionary])[codes]
        valid = known if valid is None else known & valid
    used = np.unique(codes if valid is None else codes[valid])
    names = sorted({dictionary[code] for code in used})
    place = {name: code for code, name in enumerate(names)}
    recode = np.array([place.get(name, 0) for name in dictionary] or [0], np.int32)
    return Column(recode[codes], valid, tuple(names))
