"""Training steps recorded as CUDA graphs: a launch where there were some 75."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from gpu_coldstart.engine.base import Step

__all__ = ["repeated"]

_WARM_UPS = 3


def repeated(
    step: Step, model: nn.Module, optimizer: torch.optim.Optimizer, total: torch.Tensor
) -> Step:
    """See :meth:`gpu_coldstart.engine.base.Engine.repeated`; a graph for each size of a batch.

    A step whose tensors are not on the card, or whose optimizer cannot be recorded (SGD), runs
    eagerly.
    """
    if not total.is_cuda or "capturable" not in optimizer.defaults:
        return step
    for group in optimizer.param_groups:
        group["capturable"] = True

    @cache
    def recorded(size: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        buffer = torch.arange(size, device=total.device)
        _warm_up(lambda: step(buffer), model, optimizer, total)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(buffer)
        return graph, buffer

    def replayed(places: torch.Tensor) -> None:
        graph, buffer = recorded(len(places))
        buffer.copy_(places)
        graph.replay()

    return replayed


def _warm_up(
    work: Callable[[], None],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    total: torch.Tensor,
) -> None:
    """Let libraries set themselves up, which a graph cannot record, and undo what was learned."""
    tensors = [*model.state_dict().values(), total, *_states(optimizer)]
    before = [tensor.detach().clone() for tensor in tensors]
    random = torch.cuda.get_rng_state(total.device)
    # torch leaves the class without annotations, which strict mypy may not call.
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    optimizer.zero_grad(set_to_none=True)
    _restore(tensors, before, optimizer)
    torch.cuda.set_rng_state(random, total.device)


def _restore(
    tensors: list[torch.Tensor], before: list[torch.Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Put values back in place, since the graph reads these very tensors."""
    kept = {id(tensor) for tensor in tensors}
    with torch.no_grad():
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
        for state in _states(optimizer):
            if id(state) not in kept:  # made by the warm-up; an optimizer begins with zeros
                state.zero_()


def _states(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    found = (value for state in optimizer.state.values() for value in state.values())
    return [value for value in found if isinstance(value, torch.Tensor)]
