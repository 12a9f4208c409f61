"""The paper's network (3.2.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from gpu_coldstart.config.components import MlpConfig
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.engine.layers import UnitLength

__all__ = ["Mlp", "MlpModel"]


class Mlp(nn.Module):
    """Linear, ReLU, batch normalisation for each hidden layer, then a linear output.

    Parameters
    ----------
    inputs : int
        Width of the input vector.
    hidden : sequence of int
        400, 300, 200 in the paper.
    outputs : int
        Dimension d of the space.
    normalize : bool
        Scale the output to unit length.
    input_layer : callable (inputs, outputs)
        What makes the first layer: an engine's
        :meth:`~gpu_coldstart.engine.base.Engine.input_layer`, to train faster.

    Examples
    --------
    >>> Mlp(2579, (400, 300, 200), 128, normalize=True)(torch.zeros(4, 2579)).shape
    torch.Size([4, 128])
    """

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        normalize: bool,
        input_layer: Callable[[int, int], nn.Module] = nn.Linear,
    ):
        super().__init__()
        layers: list[nn.Module] = []

        def linear(before: int, after: int) -> nn.Module:
            return nn.Linear(before, after) if layers else input_layer(before, after)

        for before, after in pairwise((inputs, *hidden)):
            layers += [linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
        layers.append(linear(hidden[-1] if hidden else inputs, outputs))
        if normalize:
            layers.append(UnitLength())
        self.layers = nn.Sequential(*layers)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map input vectors [n, inputs] to embeddings [n, outputs]."""
        embeddings: torch.Tensor = self.layers(vectors)
        return embeddings


class MlpModel:
    """The paper's network as a registered model: how it is called, set up and built."""

    name = "mlp"
    label = "MLP"
    Parameters = MlpConfig

    @staticmethod
    def build(
        engine: Engine,
        inputs: int,
        outputs: int,
        parameters: MlpConfig,
        *,
        training: bool = False,
    ) -> Mlp:
        """The network with fresh weights.

        Parameters
        ----------
        inputs, outputs : int
            Width of the input vector, and dimension d of the space.
        training : bool
            Take the engine's input layer, which may skip null blocks. Last bits then depend on the
            batch, so a network that predicts does without; the weights' names are the same.
        """
        layer = partial(engine.input_layer, block=outputs) if training else nn.Linear
        return Mlp(
            inputs,
            parameters.hidden,
            outputs,
            normalize=parameters.normalize_output,
            input_layer=layer,
        )
