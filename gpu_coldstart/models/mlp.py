"""The paper's network (3.2.3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

__all__ = ["Mlp"]


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
        self.layers = nn.Sequential(*layers)
        self.normalize = normalize

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map input vectors [n, inputs] to embeddings [n, outputs]."""
        embeddings: torch.Tensor = self.layers(vectors)
        if self.normalize:
            embeddings = nn.functional.normalize(embeddings, dim=1)
        return embeddings
