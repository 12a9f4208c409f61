"""What networks share that are fitted to the tracks users streamed, rather than to places.

Where the networks of :mod:`gpu_coldstart.models.training` learn a place in the space, these make
what warm users streamed likely.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn

from gpu_coldstart.batches import batches
from gpu_coldstart.config.streams import StreamsConfig
from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.optimizers import Adam

__all__ = ["InputLayer", "StreamTraining", "Streams", "Tower", "block_scale"]

_BATCH = 4096

InputLayer = Callable[[int, int], nn.Linear]
"""From the numbers of inputs and outputs to a network's first layer."""


class Tower(nn.Module):
    """Linear, ReLU, linear.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Widths of the input vector, the hidden layer and the last one.
    input_layer : callable (inputs, outputs)
        What makes the first layer, as in :class:`gpu_coldstart.models.mlp.Mlp`.

    Examples
    --------
    >>> Tower(9, 4, 5)(torch.zeros(1, 9)).shape
    torch.Size([1, 5])
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, input_layer: InputLayer = nn.Linear):
        super().__init__()
        self.first = input_layer(inputs, hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map input vectors [n, inputs] to [n, outputs]."""
        made: torch.Tensor = self.last(torch.relu(self.first(vectors)))
        return made


class Streams:
    """Tracks of users, as many for each as are looked at in a step.

    Parameters
    ----------
    engine : Engine
    plays : Csr [users, tracks]
        Values do not matter.
    most : int
        Of a user with more tracks, so many are looked at.
    """

    def __init__(self, engine: Engine, plays: Csr, most: int):
        self._starts = engine.to_torch(plays.indptr)
        self._lengths = self._starts.diff()
        self._tracks = engine.to_torch(plays.indices)
        self._most = min(most, int(self._lengths.max()))

    def of(self, users: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tracks of some users, and the share of each in its user's mean.

        Parameters
        ----------
        users : Tensor [n] of int64
            Users with a track.
        shift : Tensor [n] of float32
            From [0, 1); decides which tracks of a user with many are looked at. They are evenly
            spread over the user's, and over all shifts each has the same part.

        Returns
        -------
        tracks : Tensor [n, most] of int64
            Distinct within a row, but for a filling of share 0.
        shares : Tensor [n, most] of float32
            Rows add up to 1.
        """
        lengths = self._lengths[users][:, None]
        ranks = torch.arange(self._most, device=users.device)
        spread = ((ranks + shift[:, None]) * lengths / self._most).long()
        places = torch.where(lengths > self._most, spread, ranks).minimum(lengths - 1)
        tracks = self._tracks[self._starts[users][:, None] + places].long()
        there = (ranks < lengths).to(shift.dtype)
        return tracks, there / there.sum(dim=1, keepdim=True)


Network = TypeVar("Network", bound=nn.Module)


class StreamTraining(ABC, Generic[Network]):
    """A network in training.

    Parameters
    ----------
    engine : Engine
    inputs : Inputs
        Of the users of ``plays`` first.
    scale : Array [width] of float32
        What input vectors are multiplied by: :func:`block_scale`.
    plays : Csr [users, tracks]
        What users streamed; those who streamed nothing take no part.
    make : callable
        From what makes the first layer to the network, with fresh weights.
    options : StreamsConfig
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
        make: Callable[[InputLayer], Network],
        options: StreamsConfig,
        seed: int,
    ):
        self._engine, self._options, self._seed = engine, options, seed
        self._users = engine.xp.flatnonzero(engine.xp.diff(plays.indptr))
        self._vectors = inputs.table(self._users)
        self._scale = engine.to_torch(scale)
        device = self._scale.device
        block = (inputs.width - inputs.scalars.shape[1]) // len(BLOCKS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = make(partial(engine.input_layer, block=block)).to(device)
        self._optimizer = Adam(
            self.network.parameters(),
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
        )
        # The scalars count as one block more.
        self._block_of = (torch.arange(inputs.width, device=device) // block).clamp(max=len(BLOCKS))

    @abstractmethod
    def loss(self, vectors: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Mean over users of what training makes small.

        Parameters
        ----------
        vectors : Tensor [n, width] of float32
            Scaled, some blocks of them hidden.
        users, shift : Tensor [n]
            As in :meth:`Streams.of`.
        """

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
            loss = self.loss(vectors * kept[here][:, self._block_of], users[here], shift[here])
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

    def _layers(self, tower: Tower) -> tuple[Dense, Dense]:
        """The layers of a tower now, as a copy, for input vectors as they are."""
        first, last = tower.first, tower.last
        with torch.no_grad():
            tensors = (first.weight * self._scale).T, first.bias, last.weight.T, last.bias
            copies = (each.clone(memory_format=torch.contiguous_format) for each in tensors)
            weights, offset, last_weights, last_offset = map(self._engine.from_torch, copies)
        return Dense(weights, offset), Dense(last_weights, last_offset)


def block_scale(engine: Engine, inputs: Inputs, n: int) -> Array:
    """Factors [width] by which the numbers of each block have a mean square of 1; of each scalar.

    Nothing is centred, so that the block of a signal which a user did not give stays null.

    Parameters
    ----------
    n : int
        How many users, the first of ``inputs``, the mean is over.
    """
    xp, width = engine.xp, inputs.width
    squares = xp.zeros(width)
    for some in batches(n, _BATCH):
        vectors = inputs.batch(xp.arange(some.start, some.stop))
        squares += xp.square(vectors, dtype=xp.float64).sum(axis=0)
    squares /= n
    blocks = squares[: width - inputs.scalars.shape[1]].reshape(len(BLOCKS), -1)
    blocks[:] = blocks.mean(axis=1, keepdims=True)
    return xp.where(squares > 0, xp.where(squares > 0, squares, 1) ** -0.5, 0).astype(xp.float32)
