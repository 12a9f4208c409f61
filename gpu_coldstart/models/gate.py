"""A network from the input vector to weights of segments, and its training by what users streamed.

Where the networks of :mod:`gpu_coldstart.models.training` learn a place in the space, this one is
fitted to the tracks themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from gpu_coldstart.batches import batches
from gpu_coldstart.config.components import GateConfig
from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.features import Inputs

__all__ = ["GateTraining", "Gates", "Likelihood"]

_TINY = 1e-12  # keeps a logarithm finite where no segment knows a track


class Gates(nn.Module):
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
        input_layer: Callable[[int, int], nn.Linear] = nn.Linear,
    ):
        super().__init__()
        self.sizes = list(sizes)
        self.first = input_layer(inputs, hidden)
        self.last = nn.Linear(hidden, sum(sizes))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Weights [n, segments] of input vectors [n, inputs]; each resolution has the same sum."""
        logits: torch.Tensor = self.last(torch.relu(self.first(vectors)))
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
        self._starts = engine.to_torch(plays.indptr)
        self._lengths = self._starts.diff()
        self._tracks = engine.to_torch(plays.indices)
        self._popularity = engine.to_torch(popularity)
        self._sizes = list(sizes)
        self._most = min(most, int(self._lengths.max()))

    def loss(self, weights: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Mean over users and resolutions of the mean -log p(track).

        Parameters
        ----------
        weights : Tensor [n, segments]
            What :class:`Gates` returns.
        users : Tensor [n] of int64
            Users with a track.
        shift : Tensor [n]
            From [0, 1); decides which tracks of a user with many are looked at. They are evenly
            spread over the user's, and over all shifts each has the same part.
        """
        lengths = self._lengths[users][:, None]
        ranks = torch.arange(self._most, device=users.device)
        spread = ((ranks + shift[:, None]) * lengths / self._most).long()
        places = torch.where(lengths > self._most, spread, ranks).minimum(lengths - 1)
        tracks = self._tracks[self._starts[users][:, None] + places].long()
        there = (ranks < lengths).to(weights.dtype)
        there = there / there.sum(dim=1, keepdim=True)
        known = torch.split(self._popularity[tracks], self._sizes, dim=2)
        mixed = torch.split(weights, self._sizes, dim=1)
        total = torch.zeros((), device=users.device)
        for popularity, mine in zip(known, mixed, strict=True):
            found = len(known) * torch.bmm(popularity, mine[:, :, None])[:, :, 0]
            total = total - (there * (found + _TINY).log()).sum(dim=1).mean()
        return total / len(known)


class Weights(NamedTuple):
    """Those of :class:`Gates`, for input vectors as they are: of each layer, and its offset."""

    first: Array
    first_offset: Array
    last: Array
    last_offset: Array


class GateTraining:
    """The network in training.

    Parameters
    ----------
    engine : Engine
    inputs : Inputs
        Of the users of ``plays`` first.
    scale : Array [width] of float32
        What input vectors are multiplied by.
    plays : Csr [users, tracks]
        What users streamed; those who streamed nothing take no part.
    popularity : Array [tracks, segments] of float32
    sizes : tuple of int
    options : GateConfig
    seed : int
        Of the first weights, the order of the users, the tracks and the blocks looked at.
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
        self._engine, self._options, self._seed = engine, options, seed
        self._likelihood = Likelihood(engine, plays, popularity, sizes, options.tracks)
        self._users = engine.xp.flatnonzero(engine.xp.diff(plays.indptr))
        self._vectors = inputs.table(self._users)
        self._scale = engine.to_torch(scale)
        device = self._scale.device
        block = (inputs.width - inputs.scalars.shape[1]) // len(BLOCKS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = partial(engine.input_layer, block=block)
            self._gates = Gates(inputs.width, options.hidden, sizes, layer).to(device)
        self._optimizer = torch.optim.Adam(
            self._gates.parameters(),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=True,
        )
        # The scalars count as one block more.
        self._block_of = (torch.arange(inputs.width, device=device) // block).clamp(max=len(BLOCKS))

    def epoch(self, epoch: int) -> float:
        """One pass over the users in a fresh order; returns the mean loss met on the way."""
        engine, n = self._engine, len(self._users)
        if not n:
            return 0.0
        order, shift, kept = self._draws(epoch)
        users = engine.to_torch(self._users)
        total = torch.zeros((), dtype=torch.float64, device=users.device)
        for some in batches(n, self._options.batch_size):
            places = order[some]
            here = engine.to_torch(places)
            vectors = engine.to_torch(self._vectors(places)) * self._scale
            weights = self._gates(vectors * kept[here][:, self._block_of])
            loss = self._likelihood.loss(weights, users[here], shift[here])
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)  # what loss.backward() does, with annotations
            self._optimizer.step()
            total += loss.detach() * len(here)
        return float(total) / n

    def _draws(self, epoch: int) -> tuple[Array, torch.Tensor, torch.Tensor]:
        """Order of the users [n], a shift [n] and a factor of each block [n, blocks + 1]."""
        engine, dropout, n = self._engine, self._options.dropout, len(self._users)
        random = np.random.default_rng((self._seed, epoch))
        order, shift = random.permutation(n), random.random(n, dtype=np.float32)
        # Blocks that stay make up for those that go.
        kept = (random.random((n, len(BLOCKS) + 1)) >= dropout) / np.float32(1 - dropout)
        factors = engine.asarray(kept.astype(np.float32))
        return (
            engine.asarray(order),
            engine.to_torch(engine.asarray(shift)),
            engine.to_torch(factors),
        )

    def weights(self) -> Weights:
        """The network's weights now, as a copy."""
        first, last = self._gates.first, self._gates.last
        with torch.no_grad():
            tensors = (first.weight * self._scale).T, first.bias, last.weight.T, last.bias
            copies = (each.clone(memory_format=torch.contiguous_format) for each in tensors)
            return Weights(*map(self._engine.from_torch, copies))
