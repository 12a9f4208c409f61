"""Primitives that work in batches, on data whose sums are exact however they are cut."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import AlsOptions, Csr, HostArray
from tests.worlds import sparse

__all__ = [
    "NAMES",
    "Found",
    "Primitive",
    "nearest",
    "product",
    "segment_counts",
    "soft_allocate",
    "to_host",
    "top_k",
]

Found = list[HostArray]


def whole_numbers(seed: int, *shape: int, least: int = -3) -> HostArray:
    """Small whole numbers, whose sums are exact however they are cut."""
    return np.random.default_rng(seed).integers(-3, 4, shape).clip(least).astype(np.float32)


def to_host(card: Engine, *found: Any) -> Found:
    parts = [[a.indptr, a.indices, a.data] if isinstance(a, Csr) else [a] for a in found]
    return [card.to_host(array) for part in parts for array in part]


def nearest(card: Engine) -> Found:
    points, centroids = (card.asarray(whole_numbers(n, n, 2)) for n in (40, 24))
    return to_host(card, *card.nearest(points, centroids, 23))


def top_k(card: Engine) -> Found:
    queries, items = (card.asarray(whole_numbers(n, n, 2)) for n in (40, 24))
    return to_host(card, *card.top_k(queries, items, 23))


def product(card: Engine) -> Found:
    left, right = (sparse(card, whole_numbers(seed, 60, 60, least=0)) for seed in (4, 5))
    return to_host(card, card.product(left, right))


def segment_counts(card: Engine) -> Found:
    labels = card.asarray((np.arange(90) % 30).astype(np.int32))
    matrix = sparse(card, whole_numbers(6, 90, 50) > 1)
    return to_host(card, card.segment_counts(labels, matrix, 30))


def soft_allocate(card: Engine) -> Found:
    order = np.argsort(np.random.default_rng(8).random((40, 12)), axis=1)
    segments = card.asarray(order[:, :3].astype(np.int32))
    weights = card.asarray(np.tile(np.array([0.5, 0.25, 0.25], np.float32), (40, 1)))
    shares = sparse(card, whole_numbers(9, 12, 50, least=0) / 4)
    return to_host(card, *card.soft_allocate(segments, weights, shares, 6, 2))


def als(card: Engine) -> Found:
    losses: list[float] = []
    found = card.als(
        sparse(card, whole_numbers(10, 24, 16, least=0)),
        AlsOptions(factors=4, iterations=2, regularization=0.5, confidence=2.0, cg_steps=3, seed=0),
        lambda iteration, loss: losses.append(loss),
    )
    return [*to_host(card, *found), np.array(losses)]


def inertia(card: Engine) -> Found:
    geometry = importlib.import_module("gpu_coldstart.engine.cuda.geometry")
    points, centroids = (card.asarray(whole_numbers(n, n, 3)) for n in (80, 5))
    labels = card.asarray((np.arange(80) % 5).astype(np.int32))
    memory = cast("Any", card)._memory
    return [np.array(geometry.as_kmeans(memory, points, labels, centroids).inertia)]


Primitive = Callable[[Engine], Found]
NAMES: dict[Primitive, str] = {
    nearest: "the nearest segments",
    top_k: "the nearest tracks",
    product: "a sparse product",
    segment_counts: "the popularity in segments",
    soft_allocate: "soft allocation",
    als: "ALS",
    inertia: "the inertia",
}
"""All of them, and what the sentence on a lack of memory calls their work."""
