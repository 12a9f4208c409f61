"""What a service tells Prometheus. No label holds anything that a client sent."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one service, in a registry of their own.

    Parameters
    ----------
    depth : callable
        How many questions wait.

    Attributes
    ----------
    batches : Histogram
        Questions answered at once.
    refused : Counter by reason
        ``overload``, ``deadline`` or ``closing``.
    reloads : Counter by outcome
        ``swapped``, ``unchanged``, ``refused`` or ``rolled back``.
    """

    def __init__(self, depth: Callable[[], float]):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "gpu_coldstart_requests",
            "Requests answered, by route and status.",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "gpu_coldstart_request_seconds",
            "Seconds from a request's headers to the end of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "gpu_coldstart_batch_size",
            "Questions answered at once.",
            buckets=_SIZES,
            registry=self._registry,
        )
        self.refused = Counter(
            "gpu_coldstart_refused",
            "Requests refused for want of time or room, by reason.",
            ("reason",),
            registry=self._registry,
        )
        self.reloads = Counter(
            "gpu_coldstart_reloads",
            "Attempts to exchange the bundle, by outcome.",
            ("outcome",),
            registry=self._registry,
        )
        self._bundle = Gauge(
            "gpu_coldstart_bundle",
            "1 for the version of the bundle in service.",
            ("version",),
            registry=self._registry,
        )
        waiting = Gauge(
            "gpu_coldstart_queue_depth",
            "Questions that wait for a thread: what to scale by.",
            registry=self._registry,
        )
        waiting.set_function(depth)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def serving(self, version: str) -> None:
        """Tell which bundle is in service."""
        self._bundle.clear()
        self._bundle.labels(version).set(1)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
