"""The CPU engine's search: the same lists by every way to the candidates."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu import geometry, rough
from gpu_coldstart.engine.cpu import search as search_module

WAYS = {"precise": False, "rough": True}


def drawn(kind: str) -> tuple[HostArray, HostArray]:
    random = np.random.default_rng(7)
    queries, items = (random.normal(size=(n, 40)).astype(np.float32) for n in (90, 1500))
    if kind == "tied":
        items[:] = np.round(items)
        items[::2] = items[0]
        queries[:9] = 3 * items[0]
    if kind == "ever better":  # the worst first, for any query
        queries = np.abs(queries)
        items = np.sort(np.abs(items), axis=0)
    if kind == "far":
        items[3] *= 1000
    if kind == "null":
        queries[:] = 0
    return queries, items


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["normal", "tied", "ever better", "far", "null"])
@pytest.mark.parametrize("n", [1, 7, 60, 1499, 1500])
def test_every_way_finds_what_sorting_all_does(
    monkeypatch: pytest.MonkeyPatch, kind: str, way: str, n: int
) -> None:
    monkeypatch.setattr(geometry, "pays", lambda *_: WAYS[way])
    monkeypatch.setattr(geometry, "small", lambda _: False)
    monkeypatch.setattr(geometry, "_TRIED", 30)
    monkeypatch.setattr(search_module, "_QUERIES", 50)
    monkeypatch.setattr(search_module, "_SCORES", 5000)
    queries, items = drawn(kind)
    for find, distances in ((geometry.top_k, False), (geometry.nearest, True)):
        found, values = find(queries, items, n)
        exact = settle.pair_keys(np, queries, items, None, distances=distances)
        keys = settle.as_returned(np, exact, distances=distances)
        wanted = np.argsort(keys, axis=1, kind="stable")[:, :n]
        assert_array_equal(found, wanted)
        least = np.take_along_axis(keys, wanted, axis=1)
        assert_array_equal(values, least if distances else -least)


@pytest.mark.parametrize("kind", ["normal", "far", "null"])
def test_rough_products_err_by_no_more_than_they_say(kind: str) -> None:
    queries, items = drawn(kind)
    longest = geometry.longest(items)
    multiply, errors = rough.Rough(items, longest).times(queries)
    out = np.empty((90, 1500), np.float32)
    multiply(slice(None), slice(None), out)
    apart = np.abs(out - queries.astype(np.float64) @ items.T)
    allowed = errors + settle.slack(np, queries, longest, distances=False)
    assert (apart <= allowed[:, None]).all()
    if kind == "normal":
        assert (apart / allowed[:, None]).max() > 0.2, "it says too much"


def test_few_queries_are_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where items are not tied, nothing needs to be sorted whole."""
    monkeypatch.setattr(geometry, "small", lambda _: False)
    sorted_whole: list[int] = []

    def counted(among_all: Any, xp: Any, rows: HostArray, *more: Any, **options: Any) -> None:
        sorted_whole.append(len(rows))
        among_all(xp, rows, *more, **options)

    monkeypatch.setattr(settle, "among_all", partial(counted, settle.among_all))
    for kind in ("normal", "ever better", "tied"):
        geometry.top_k(*drawn(kind), 7)
    assert sorted_whole[:2] == [0, 0]
    assert sorted_whole[2] > 0
