"""Named ranges on a profiler's timeline (NVTX); no-ops when no profiler is attached.

There are three domains, from coarse to fine: a stage of the run, a primitive of the engine, a
kernel of our own. ``docs/profiling.md`` explains how to capture and read them.

>>> with stage("logs"), primitive("lookup"):
...     pass
>>> @primitive("double")
... def double(number: int) -> int:
...     return 2 * number
>>> double(4)
8

Whether a profiler is attached is known when a process starts, and is asked for once a domain.
Without one, or without the package ``nvtx``, every range is one shared object that does nothing,
and a decorated function is the function itself. ``bench/nvtx_cost.py`` measures the remaining cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["DOMAINS", "Range", "annotated", "kernel", "primitive", "stage"]

P = ParamSpec("P")
R = TypeVar("R")

DOMAINS = {
    "gpu_coldstart.stage": "blue",
    "gpu_coldstart.primitive": "green",
    "gpu_coldstart.kernel": "orange",
}
"""Name of each NVTX domain, and the colour of its ranges."""


class Range:
    """A range no profiler sees: a context manager and a decorator that do nothing."""

    __slots__ = ()

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        return

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function with each call in this range."""
        return function


class _Seen(Range):
    """A range a profiler sees; it holds no state, so it may nest in itself and cross threads."""

    __slots__ = ("_attributes", "_domain")

    def __init__(self, domain: Any, name: str, color: str):
        self._domain = domain
        self._attributes = domain.get_event_attributes(message=name, color=color)

    def __enter__(self) -> None:
        self._domain.push_range(self._attributes)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._domain.pop_range()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return inside


_UNSEEN = Range()


@cache
def _domain(name: str) -> Any:
    """The domain, or None when no profiler is attached."""
    try:
        from nvtx import Domain, get_domain
    except ImportError:
        return None
    domain = get_domain(name)
    return domain if isinstance(domain, Domain) else None


def _range(domain: str, name: str) -> Range:
    opened = _domain(domain)
    return _UNSEEN if opened is None else _Seen(opened, name, DOMAINS[domain])


@cache
def stage(name: str) -> Range:
    """Range of a stage of the run, such as ``"logs"`` or ``"tt-svd/semi"``."""
    return _range("gpu_coldstart.stage", name)


@cache
def primitive(name: str) -> Range:
    """Range of an engine's primitive, such as ``"svd"``; also a decorator."""
    return _range("gpu_coldstart.primitive", name)


@cache
def kernel(name: str) -> Range:
    """Range around the launch of one of our kernels.

    The launch is asynchronous: the profiler relates the kernel's own time to the range.
    """
    return _range("gpu_coldstart.kernel", name)


def annotated(function: Callable[P, R], name: str) -> Callable[P, R]:
    """The function with each call in a range of a primitive; itself where no profiler listens."""
    return primitive(name)(function)
