"""What models share that lead from a user's content, the input vector, to a place beside tracks.

Their authors have items that nobody knows yet; here the users are new, and all tracks are known. So
content stands for a user, and a track comes as its place in the warm space.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.feedforward import feedforward, scaled
from gpu_coldstart.models.streams import InputLayer, Streams, StreamTraining, block_scale
from gpu_coldstart.spaces import Space

__all__ = ["Batch", "ContentTraining", "perceptron", "products"]


@dataclass(frozen=True)
class Batch:
    """Warm users of a step, and the tracks to tell apart for them.

    Attributes
    ----------
    vectors : Tensor [n, width] of float32
        Their input vectors, scaled, some blocks of them hidden.
    users : Tensor [n] of int64
        Their numbers.
    streamed : Tensor [n, m] of int64
        Tracks of theirs.
    shares : Tensor [n, m] of float32
        The share of each in its user's mean.
    drawn : Tensor [n, m] of int64
        Tracks drawn of all, which count as not streamed.
    chance : Tensor [n] of float32
        Of each user, from [0, 1), for what a model does at random.
    """

    vectors: torch.Tensor
    users: torch.Tensor
    streamed: torch.Tensor
    shares: torch.Tensor
    drawn: torch.Tensor
    chance: torch.Tensor

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over users of the mean over their tracks [n, m]."""
        return (self.shares * values).sum(dim=1).mean()


class ContentTraining(StreamTraining[nn.ModuleDict]):
    """A model in training.

    Places of users and of tracks in the warm space are scaled to a mean square of ``d ** -0.5``, so
    that products of unrelated ones have one of about 1, whatever the space.

    Parameters
    ----------
    engine : Engine
    inputs : Inputs
        Of the users of the space first.
    space : Space
    plays : Csr [users, tracks]
        What they streamed; those who streamed nothing take no part.
    options : ContentConfig
        Of the model.
    seed : int
        Of the first weights, the order of the users, the tracks, and all that is left to chance.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        space: Space,
        *,
        plays: Csr,
        options: Any,
        seed: int,
    ):
        self.users, self.tracks = (
            _normalised(engine.to_torch(each)) for each in (space.users, space.tracks)
        )
        self.width, self.dimension = inputs.width, space.dimension
        self.options: Any = options
        super().__init__(
            engine,
            inputs,
            block_scale(engine, inputs, len(space.users)),
            plays=plays,
            make=self.networks,
            options=options,
            seed=seed,
        )
        self._streams = Streams(engine, plays, options.tracks)
        # Draws on the device itself; each epoch seeds it anew.
        self._generator = torch.Generator(self.users.device)

    @abstractmethod
    def networks(self, first: InputLayer) -> nn.ModuleDict:
        """The networks, with fresh weights; ``first`` makes the layer that takes the content."""

    @abstractmethod
    def error(self, batch: Batch) -> torch.Tensor:
        """What training makes small."""

    @abstractmethod
    def learned(self) -> tuple[Any, ...]:
        """What the state of the strategy has before its curve, as copies."""

    def epoch(self, epoch: int) -> float:
        """See :meth:`StreamTraining.epoch`."""
        state = np.random.SeedSequence((self._seed, epoch)).generate_state(1)
        self._generator.manual_seed(int(state[0]))
        return super().epoch(epoch)

    def loss(self, vectors: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """See :meth:`StreamTraining.loss`."""
        streamed, shares = self._streams.of(users, shift)
        generator, device = self._generator, users.device
        drawn = torch.randint(len(self.tracks), streamed.shape, generator=generator, device=device)
        chance = torch.rand(len(users), generator=generator, device=device)
        return self.error(Batch(vectors, users, streamed, shares, drawn, chance))

    def _of_content(self, network: nn.Module) -> Feedforward:
        """A network now, of input vectors as they are."""
        return scaled(self._engine, feedforward(self._engine, network), self._scale)

    def _of_tracks(self, network: nn.Module) -> Array:
        """What a network makes of the tracks' places now [tracks, outputs] of float32."""
        places = self._engine.from_torch(self.tracks)
        return self._engine.feed_forward(feedforward(self._engine, network), places)


def perceptron(
    inputs: int,
    hidden: int,
    outputs: int,
    first: InputLayer = nn.Linear,
    between: type[nn.Module] = nn.Tanh,
) -> nn.Sequential:
    """Linear, tanh or what is ``between``, linear."""
    return nn.Sequential(first(inputs, hidden), between(), nn.Linear(hidden, outputs))


def products(users: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
    """Inner products [n, m] of users [n, d] and tracks of each [n, m, d]."""
    return torch.bmm(tracks, users[:, :, None])[:, :, 0]


def _normalised(places: torch.Tensor) -> torch.Tensor:
    square = places.square().mean().clamp(min=1e-12)
    normalised: torch.Tensor = places * (square * places.shape[1] ** 0.5).rsqrt()
    return normalised
