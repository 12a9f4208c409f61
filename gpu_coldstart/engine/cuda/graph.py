"""Training steps recorded as CUDA graphs: a launch where there were some 75."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch

from gpu_coldstart.engine.base import Step

__all__ = ["repeated"]

_WARM_UPS = 3


def repeated(step: Step, changed: Sequence[torch.Tensor]) -> Step:
    """See :meth:`gpu_coldstart.engine.base.Engine.repeated`; a graph for each size of a batch.

    A step whose tensors are not on the card runs eagerly.
    """
    device = changed[0].device
    if device.type != "cuda":
        return step

    @cache
    def recorded(size: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        buffer = torch.arange(size, device=device)
        _warm_up(lambda: step(buffer), changed)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(buffer)
        return graph, buffer

    def replayed(places: torch.Tensor) -> None:
        graph, buffer = recorded(len(places))
        buffer.copy_(places)
        graph.replay()

    return replayed


def _warm_up(work: Callable[[], None], changed: Sequence[torch.Tensor]) -> None:
    """Let libraries set themselves up, which a graph cannot record, and undo what was learned.

    Values are put back in place, since the graph reads these very tensors.
    """
    before = [tensor.detach().clone() for tensor in changed]
    random = torch.cuda.get_rng_state(changed[0].device)
    # torch leaves the class without annotations, which strict mypy may not call.
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.no_grad():
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
    torch.cuda.set_rng_state(random, changed[0].device)
