"""Adam and SGD by PyTorch's own functions, without the classes that ``torch.optim`` has for them.

Those have PyTorch import its compiler when the first of them is made, which nothing here uses and
which takes seconds of each process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

__all__ = ["SGD", "Adam", "Optimizer"]

State: TypeAlias = dict[str, torch.Tensor]
Tensors: TypeAlias = list[torch.Tensor]


class Optimizer(ABC):
    """Changes parameters by their gradients, in one pass over them all.

    Parameters
    ----------
    parameters : iterable of Parameter
        On one device, where they stay.
    learning_rate, weight_decay : float
        The latter is a penalty: it adds as many times a parameter to its gradient.
    """

    NAMES: ClassVar[tuple[str, ...]]
    """What is kept of each parameter, as ``torch.optim`` calls it."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, learning_rate: float, weight_decay: float = 0.0
    ):
        self._parameters = list(parameters)
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._states = [
            {
                name: torch.zeros_like(each)
                if name != "step"
                else torch.zeros((), device=each.device)
                for name in self.NAMES
            }
            for each in self._parameters
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Go a step down the gradients, and forget them; a parameter without any stays."""
        pairs = zip(self._parameters, self._states, strict=True)
        moved = [(each, each.grad, state) for each, state in pairs if each.grad is not None]
        if moved:
            self._move(*map(list, zip(*moved, strict=True)))
        for each in self._parameters:
            each.grad = None

    @abstractmethod
    def _move(self, parameters: Tensors, gradients: Tensors, states: Sequence[State]) -> None: ...

    def tensors(self) -> State:
        """What it keeps, by number of the parameter and name: the tensors themselves."""
        return {
            f"{number}/{name}": value
            for number, state in enumerate(self._states)
            for name, value in state.items()
        }

    def go_on(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over values of :meth:`tensors`."""
        mine = self.tensors()
        if mine.keys() != tensors.keys():
            raise ValueError("the state of another optimizer")
        for name, value in mine.items():
            value.copy_(tensors[name])


class Adam(Optimizer):
    """As :class:`torch.optim.Adam` with ``fused=True`` (Kingma and Ba 2015)."""

    NAMES = ("step", "exp_avg", "exp_avg_sq")

    def _move(self, parameters: Tensors, gradients: Tensors, states: Sequence[State]) -> None:
        steps, means, squares = ([state[name] for state in states] for name in self.NAMES)
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            lr=self._learning_rate,
            weight_decay=self._weight_decay,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class SGD(Optimizer):
    """As :class:`torch.optim.SGD` with ``fused=True``."""

    NAMES = ("momentum_buffer",)

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, learning_rate=learning_rate, weight_decay=weight_decay)
        self._momentum = momentum

    def _move(self, parameters: Tensors, gradients: Tensors, states: Sequence[State]) -> None:
        sgd(
            parameters,
            gradients,
            [state["momentum_buffer"] for state in states],
            fused=True,
            lr=self._learning_rate,
            momentum=self._momentum,
            weight_decay=self._weight_decay,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
