"""MeLU: a network whose last layers adapt to a user by gradient descent (Lee et al. 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from gpu_coldstart.batches import batches
from gpu_coldstart.config.competitors import MeluConfig
from gpu_coldstart.data.supports import Support
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.optimizers import Adam
from gpu_coldstart.models.streams import Streams, block_scale
from gpu_coldstart.spaces import Space

__all__ = ["MeluTraining", "Pairs", "adapted", "losses"]

Layers = dict[str, torch.Tensor]
"""Parameters of the decision layers by name."""

Pairs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Embedded tracks [..., m, embedding], their labels [..., m], and the share of each in a mean."""


def losses(
    decision: nn.Module, users: torch.Tensor, support: Pairs, query: Pairs, options: MeluConfig
) -> torch.Tensor:
    """Squared error of each user's adapted network on the query [n].

    Parameters
    ----------
    decision : Module
        From the embeddings of a user and a track, side by side, to one number.
    users : Tensor [n, embedding]
    support, query : Pairs
        Of each user.
    """
    layers: Layers = dict(decision.named_parameters())

    def task(user: torch.Tensor, support: Pairs, query: Pairs) -> torch.Tensor:
        mine = adapted(decision, layers, user, support, options)
        return _error(mine, decision, user, query)

    found: torch.Tensor = vmap(task)(users, support, query)
    return found


def adapted(
    decision: nn.Module, layers: Layers, user: torch.Tensor, support: Pairs, options: MeluConfig
) -> Layers:
    """The decision layers after the local steps on the support of one user [embedding]."""
    for _ in range(options.local_steps):
        slopes = grad(_error)(layers, decision, user, support)
        if options.first_order:
            slopes = {name: slope.detach() for name, slope in slopes.items()}
        rate = options.local_learning_rate
        layers = {name: layer - rate * slopes[name] for name, layer in layers.items()}
    return layers


def _error(layers: Layers, decision: nn.Module, user: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    tracks, labels, shares = pairs
    given = torch.cat([user.expand(len(tracks), -1), tracks], dim=1)
    errors = functional_call(decision, layers, (given,))[:, 0] - labels
    error: torch.Tensor = (shares * errors.square()).sum()
    return error


class MeluTraining:
    """The network in training.

    A user is the whole input vector, a track its place in the warm space; each has a linear
    embedding, and of both side by side the decision layers say how likely the user streams the
    track. A task is a warm user: the decision layers, adapted to the first day, are to give 1 to
    other tracks that the user streamed, and 0 to tracks that are drawn of all. What makes that
    error small, through the adaptation, are the layers to start from.

    Parameters
    ----------
    engine : Engine
    inputs : Inputs
        Of the users of the space first.
    support : Support
        Of these users.
    space : Space
    plays : Csr [users, tracks]
        What they streamed; those who streamed nothing take no part.
    options : MeluConfig
    seed : int
        Of the first weights, the order of the users and the tracks drawn.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        support: Support,
        space: Space,
        *,
        plays: Csr,
        options: MeluConfig,
        seed: int,
    ):
        self._engine, self._options, self._seed = engine, options, seed
        self._users = engine.xp.flatnonzero(engine.xp.diff(plays.indptr))
        self._vectors = inputs.table(self._users)
        self._streams = Streams(engine, plays, options.query)
        scale = engine.to_torch(block_scale(engine, inputs, len(space.users)))
        self._scale = scale
        # Of the tracks' places, too, the mean square is 1.
        tracks = engine.to_torch(space.tracks)
        self._tracks = tracks * tracks.square().mean().clamp(min=1e-12).rsqrt()
        self._support = [
            engine.to_torch(each) for each in (support.tracks, support.labels, support.shares)
        ]
        wide, hidden = options.embedding, options.hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.users = engine.input_layer(inputs.width, wide, block=tracks.shape[1])
            self.tracks = nn.Linear(tracks.shape[1], wide)
            self.decision = nn.Sequential(
                nn.Linear(2 * wide, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, 1),
            )
        self._all = nn.ModuleList([self.users, self.tracks, self.decision]).to(scale.device)
        self._optimizer = Adam(self._all.parameters(), learning_rate=options.learning_rate)

    def epoch(self, epoch: int) -> float:
        """One pass over the users in a fresh order; returns the mean loss met on the way."""
        n = len(self._users)
        if not n:
            return 0.0
        draws = self._draws(epoch)
        total = torch.zeros((), dtype=torch.float64, device=self._scale.device)
        for some in batches(n, self._options.batch_size):
            loss = self.loss(*(each[some] for each in draws))
            torch.autograd.backward(loss)  # what loss.backward() does, with annotations
            self._optimizer.step()
            total += loss.detach() * (some.stop - some.start)
        return float(total) / n

    def _draws(self, epoch: int) -> list[torch.Tensor]:
        """What :meth:`loss` takes, for all users in an order."""
        n, options = len(self._users), self._options
        random = np.random.default_rng((self._seed, epoch))
        drawn = (
            random.permutation(n),
            random.random(n, dtype=np.float32),
            random.integers(
                len(self._tracks), size=(n, options.query * options.negatives), dtype=np.int32
            ),
        )
        return [self._engine.to_torch(self._engine.asarray(each)) for each in drawn]

    def loss(self, places: torch.Tensor, shift: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Mean squared error of some users' adapted networks on their queries.

        Parameters
        ----------
        places : Tensor [n] of int64
            Of users, among those with a stream.
        shift : Tensor [n] of float32
            Which of a user's tracks are taken, as in :meth:`Streams.of`.
        drawn : Tensor [n, query * negatives] of int32
            Tracks that count as not streamed; of as many as are needed, the first.
        """
        engine = self._engine
        users = engine.to_torch(self._users)[places]
        vectors = engine.to_torch(self._vectors(engine.from_torch(places))) * self._scale
        tracks, labels, shares = (each[users] for each in self._support)
        streamed, parts = self._streams.of(users, shift)
        held = (labels * shares > 0)[:, None, :] & (streamed[:, :, None] == tracks[:, None, :])
        wanted = (parts > 0) & ~held.any(dim=2)
        n_unwanted = wanted.sum(dim=1, keepdim=True) * self._options.negatives
        unwanted = torch.arange(drawn.shape[1], device=drawn.device) < n_unwanted
        there = torch.cat([wanted, unwanted], dim=1)
        asked = torch.cat([streamed, drawn.long()], dim=1)
        answers = torch.cat([wanted, torch.zeros_like(unwanted)], dim=1).to(shares.dtype)
        weights = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        return losses(
            self.decision,
            self.users(vectors),
            (self.tracks(self._tracks[tracks.long()]), labels, shares),
            (self.tracks(self._tracks[asked]), answers, weights),
            self._options,
        ).mean()

    def learned(self) -> tuple[Feedforward, Array, tuple[Dense, ...]]:
        """The users' embedding now, of vectors as they are, the tracks', and the decision layers.

        Returns
        -------
        network : Feedforward
            From an input vector to the user's embedding.
        tracks : Array [tracks, embedding] of float32
        decision : tuple of Dense
        """
        with torch.no_grad():
            users = self._dense(self.users.weight * self._scale, self.users.bias)
            tracks = self._engine.from_torch(self.tracks(self._tracks))
            decision = tuple(
                self._dense(each.weight, each.bias)
                for each in self.decision
                if isinstance(each, nn.Linear)
            )
        return Feedforward((users,)), tracks, decision

    def _dense(self, weight: torch.Tensor, bias: torch.Tensor) -> Dense:
        """A copy, for training goes on."""
        copies = (each.clone(memory_format=torch.contiguous_format) for each in (weight.T, bias))
        return Dense(*map(self._engine.from_torch, copies))
