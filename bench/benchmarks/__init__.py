"""The benchmarks, one file each, in the order of the flow."""

from bench.benchmarks import (
    als,
    assign,
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
from bench.cases import Benchmark

__all__ = ["ALL"]

ALL: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for module in (
        events,
        pmi_svd,
        als,
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
    for benchmark in module.BENCHMARKS
}
"""Every benchmark by its name."""
