"""The examples in the docstrings of ``bench``, which is outside of what pytest collects."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["data", "harness", "report", "results"])
def test_examples_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"bench.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
