"""A network from the input vector to weights of segments, trained by what users streamed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gpu_coldstart.config.streams import GateConfig
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.streams import InputLayer, Streams, StreamTraining, Tower

__all__ = ["GateTraining", "Gates", "Likelihood"]

_TINY = 1e-12  # keeps a logarithm finite where no segment knows a track


class Gates(Tower):
    """Linear, ReLU, linear, and a softmax over the segments of each resolution.

    Parameters
    ----------
    inputs, hidden : int
        Widths of the input vector and of the hidden layer.
    sizes : sequence of int
        Number of segments of each resolution.
    input_layer : callable (inputs, outputs)
        What makes the first layer, as in :class:`gpu_coldstart.models.mlp.Mlp`.

    Examples
    --------
    >>> Gates(9, 4, (2, 3))(torch.zeros(1, 9)).shape
    torch.Size([1, 5])
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        sizes: Sequence[int],
        input_layer: InputLayer = nn.Linear,
    ):
        super().__init__(inputs, hidden, sum(sizes), input_layer)
        self.sizes = list(sizes)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Weights [n, segments] of input vectors [n, inputs]; each resolution has the same sum."""
        logits = super().forward(vectors)
        each = [part.softmax(dim=1) for part in torch.split(logits, self.sizes, dim=1)]
        return torch.cat(each, dim=1) / len(each)


class Likelihood:
    """How likely the tracks of users are under mixtures of segments.

    Parameters
    ----------
    engine : Engine
    plays : Csr [users, tracks]
        Values do not matter.
    popularity : Array [tracks, segments] of float32
        Probability of each track in each segment.
    sizes : sequence of int
        Number of segments of each resolution.
    most : int
        Of a user with more tracks, so many are looked at.
    """

    def __init__(
        self, engine: Engine, plays: Csr, popularity: Array, sizes: Sequence[int], most: int
    ):
        self._streams = Streams(engine, plays, most)
        self._popularity = engine.to_torch(popularity)
        self._sizes = list(sizes)

    def loss(self, weights: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Mean over users and resolutions of the mean -log p(track).

        Parameters
        ----------
        weights : Tensor [n, segments]
            What :class:`Gates` returns.
        users, shift : Tensor [n]
            As in :meth:`gpu_coldstart.models.streams.Streams.of`.
        """
        tracks, shares = self._streams.of(users, shift)
        known = torch.split(self._popularity[tracks], self._sizes, dim=2)
        mixed = torch.split(weights, self._sizes, dim=1)
        total = torch.zeros((), device=users.device)
        for popularity, mine in zip(known, mixed, strict=True):
            # A row by a matrix: the matrix by a column takes more than twice as long on a CPU.
            found = len(known) * torch.bmm(mine[:, None], popularity.transpose(1, 2))[:, 0]
            total = total - (shares * (found + _TINY).log()).sum(dim=1).mean()
        return total / len(known)


class GateTraining(StreamTraining[Gates]):
    """The network in training.

    Parameters
    ----------
    engine, inputs, scale, plays, seed
        As in :class:`gpu_coldstart.models.streams.StreamTraining`.
    popularity : Array [tracks, segments] of float32
    sizes : tuple of int
    options : GateConfig
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        scale: Array,
        *,
        plays: Csr,
        popularity: Array,
        sizes: tuple[int, ...],
        options: GateConfig,
        seed: int,
    ):
        super().__init__(
            engine,
            inputs,
            scale,
            plays=plays,
            make=lambda layer: Gates(inputs.width, options.hidden, sizes, layer),
            options=options,
            seed=seed,
        )
        self._likelihood = Likelihood(engine, plays, popularity, sizes, options.tracks)

    def loss(self, vectors: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """See :meth:`StreamTraining.loss`."""
        return self._likelihood.loss(self.network(vectors), users, shift)

    def learned(self) -> Feedforward:
        """The network now, as a copy."""
        return Feedforward(self._layers(self.network), "softmax", tuple(self.network.sizes))
