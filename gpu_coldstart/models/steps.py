"""The steps of training, which an engine may repeat in a faster way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from gpu_coldstart.engine.base import Array, Engine, Step
from gpu_coldstart.features import Resident
from gpu_coldstart.models.feedforward import chain
from gpu_coldstart.models.optimizers import Optimizer
from gpu_coldstart.profiling import primitive

__all__ = ["Steps"]


class Steps:
    """The steps of training, and the loss met on the way, which stays on the device.

    Parameters
    ----------
    vectors : callable
        From places [m] to input vectors [m, width]: :meth:`~gpu_coldstart.features.Inputs.table`.
    targets : Array [n, d] of float32
    model : torch.nn.Module
        Such as :func:`gpu_coldstart.models.feedforward.feedforward` knows.
    precision : {"float32", "bfloat16"}
        Of products.
    """

    def __init__(
        self,
        engine: Engine,
        vectors: Callable[[Array], Array],
        targets: Array,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        precision: str = "float32",
    ):
        self._engine, self._model, self._optimizer = engine, model, optimizer
        self._compute = engine.chained(model, tuple(chain(model)))
        wanted = engine.to_torch(targets)
        self._total = torch.zeros((), dtype=torch.float64, device=wanted.device)
        # Weights take part in one product each, so that casts kept for another would only cost
        # memory; what a graph records must not depend on them.
        self._rounding = partial(
            torch.autocast,
            wanted.device.type,
            torch.bfloat16,
            enabled=precision == "bfloat16",
            cache_enabled=False,
        )
        if not isinstance(vectors, Resident):
            self._step: Step = lambda places: self._learn(
                engine.to_torch(vectors(engine.from_torch(places))), wanted[places]
            )
            return
        rows = engine.to_torch(vectors.whole)
        if precision == "bfloat16":
            rows = rows.bfloat16()  # once, instead of in every step
        self._step = engine.repeated(
            # Faster on the CPU than by an index.
            lambda places: self._learn(
                rows.index_select(0, places), wanted.index_select(0, places)
            ),
            [self._total, *model.state_dict().values(), *optimizer.tensors().values()],
        )

    @primitive("epoch")
    def epoch(self, batches: Sequence[Array]) -> float:
        """One pass over the warm users; returns the mean squared error met on the way."""
        self._model.train()
        self._total.zero_()
        for places in batches:
            self._step(self._engine.to_torch(places))
        return float(self._total) / sum(map(len, batches))

    def _learn(self, vectors: torch.Tensor, targets: torch.Tensor) -> None:
        with self._rounding():
            places = self._compute(vectors)
        loss = nn.functional.mse_loss(places.float(), targets)
        torch.autograd.backward(loss)  # what loss.backward() does, with annotations
        self._optimizer.step()
        self._total.add_(loss.detach(), alpha=len(targets))
