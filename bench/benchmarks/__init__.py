"""The benchmarks, one file each, in the order of the flow."""

from collections.abc import Iterator

from bench.benchmarks import (
    als,
    assign,
    cml,
    events,
    features,
    flow,
    growth,
    kmeans,
    metrics,
    mlp,
    pmi_svd,
    popularity,
    top_k,
)
from bench.cases import Benchmark, on_tafeng

__all__ = ["ALL"]

_MODULES = (
    events,
    pmi_svd,
    als,
    cml,
    kmeans,
    popularity,
    features,
    mlp,
    assign,
    top_k,
    metrics,
    flow,
    growth,
)
_DATA_MATTER = {"events", "pmi-svd", "als-128", "kmeans", "popularity", "features"}


def _all() -> Iterator[Benchmark]:
    for module in _MODULES:
        for benchmark in module.BENCHMARKS:
            yield benchmark
            if benchmark.name in _DATA_MATTER:
                yield on_tafeng(benchmark)


ALL: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _all()}
"""Every benchmark by its name. The cost of some depends on the data: they run on Ta-Feng, too."""
