"""The paper's network (3.2.3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from gpu_coldstart.models.blocks import BlockLinear

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
    block : int
        Width of the blocks of the input vector, of which the first layer then skips those that
        are null (see :class:`~gpu_coldstart.models.blocks.BlockLinear`); 0 skips none. The
        weights and their names are the same either way.

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
        block: int = 0,
    ):
        super().__init__()
        layers: list[nn.Module] = []

        def linear(before: int, after: int) -> nn.Linear:
            if block and not layers:
                return BlockLinear(before, after, block=block)
            return nn.Linear(before, after)

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
