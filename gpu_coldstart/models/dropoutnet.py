"""DropoutNet: two towers that learn to do without preferences (Volkovs, Yu & Poutanen 2017)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from gpu_coldstart.batches import batches
from gpu_coldstart.config.competitors import DropoutNetConfig
from gpu_coldstart.engine.base import Array, Engine, Feedforward
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.feedforward import feedforward, scaled
from gpu_coldstart.models.optimizers import Adam
from gpu_coldstart.models.streams import InputLayer, block_scale
from gpu_coldstart.spaces import Space

__all__ = ["DropoutNetTraining", "without"]

_DEVIATION = 0.01  # of the first weights, as in the authors' code


def tower(
    inputs: int, hidden: tuple[int, ...], rank: int, input_layer: InputLayer = nn.Linear
) -> nn.Sequential:
    """Linear, batch normalisation, tanh for each hidden layer, then a linear output."""
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *hidden)):
        linear = nn.Linear(before, after) if layers else input_layer(before, after)
        layers += [linear, nn.BatchNorm1d(after, eps=1e-3), nn.Tanh()]
    layers.append(nn.Linear(hidden[-1], rank))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=_DEVIATION)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def without(random: np.random.Generator, n: int, share: float) -> np.ndarray:
    """Which of ``n`` keep their preference [n] of float32, 1 or 0: all but exactly a share of them.

    Examples
    --------
    >>> without(np.random.default_rng(0), 5, 0.5).sum()
    np.float32(3.0)
    """
    kept = np.ones(n, np.float32)
    kept[random.permutation(n)[: int(share * n)]] = 0
    return kept


class DropoutNetTraining:
    """The towers in training.

    A user is the place in the warm space, or nothing, beside the content of the input vector; a
    track is its place, or nothing. The towers are to give pairs the inner products of their places,
    by squared error, whether or not the places are there. A batch is a block: some users, and
    twice as many tracks, of which each user has brought one of the largest products.

    Parameters
    ----------
    engine : Engine
    inputs : Inputs
        Of the users of the space first.
    content : Array [c] of integers
        The columns of the input vector that are looked at.
    space : Space
    options : DropoutNetConfig
    seed : int
        Of the first weights, the order of the users, the tracks, and who loses the place.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        content: Array,
        space: Space,
        *,
        options: DropoutNetConfig,
        seed: int,
    ):
        self._engine, self._options, self._seed = engine, options, seed
        self._users, self._tracks = (engine.to_torch(each) for each in (space.users, space.tracks))
        self._vectors = inputs.table(engine.xp.arange(len(space.users)))
        self._content = engine.to_torch(content)
        n, d = space.users.shape
        scale = engine.to_torch(block_scale(engine, inputs, n))[self._content]
        # Of places, too, the mean square is 1, and nothing is centred: null means there is none.
        self._scales = [
            torch.cat([_scale(self._users).expand(d), scale]),
            _scale(self._tracks).expand(d),
        ]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first = partial(engine.input_layer, block=d)
            self.towers = nn.ModuleList(
                tower(len(each), options.hidden, options.rank, first) for each in self._scales
            ).to(self._users.device)
        self._optimizer = Adam(
            self.towers.parameters(),
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
        )

    def epoch(self, epoch: int) -> float:
        """One pass over the warm users in a fresh order; returns the mean loss of its batches."""
        sizes = batches(len(self._users), self._options.batch_size)
        # One alone has no variance to normalise by.
        some = [batch for batch in sizes if batch.stop - batch.start > 1]
        draws = self._draws(epoch, some)
        self.towers.train()
        losses = [self._learn(*(each[..., batch] for each in draws)) for batch in some]
        return float(torch.stack(losses).mean()) if losses else 0.0

    def _draws(self, epoch: int, some: list[slice]) -> list[torch.Tensor]:
        """Users [n] in order, ranks [n], any tracks [n], and what is kept of both [3, n]."""
        engine, dropout, n = self._engine, self._options.dropout, len(self._users)
        random = np.random.default_rng((self._seed, epoch))
        kept = np.ones((3, n), np.float32)
        for batch in some:
            m = batch.stop - batch.start
            kept[0, batch] = without(random, m, dropout)
            kept[1:, batch] = without(random, 2 * m, dropout).reshape(2, m)
        drawn = (
            random.permutation(n),
            random.integers(min(self._options.top, len(self._tracks)), size=n),
            random.integers(len(self._tracks), size=n),
            kept,
        )
        return [engine.to_torch(engine.asarray(each)) for each in drawn]

    def _learn(
        self, users: torch.Tensor, ranks: torch.Tensor, drawn: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        engine = self._engine
        places = self._users[users]
        products = places @ self._tracks.T
        top = products.topk(min(self._options.top, len(self._tracks)), dim=1).indices
        tracks = torch.cat([top.gather(1, ranks[:, None])[:, 0], drawn])
        content = engine.to_torch(self._vectors(engine.from_torch(users)))[:, self._content]
        ours = self._located(0, torch.cat([places * kept[0, :, None], content], dim=1))
        theirs = self._located(1, self._tracks[tracks] * kept[1:].reshape(-1, 1))
        loss = nn.functional.mse_loss(ours @ theirs.T, products[:, tracks])
        torch.autograd.backward(loss)  # what loss.backward() does, with annotations
        self._optimizer.step()
        return loss.detach()

    def _located(self, side: int, vectors: torch.Tensor) -> torch.Tensor:
        located: torch.Tensor = self.towers[side](vectors * self._scales[side])
        return located

    def learned(self) -> tuple[Feedforward, Array]:
        """The users' tower now, of vectors as they are, and the tracks [tracks, rank]."""
        engine = self._engine
        users, tracks = (
            scaled(engine, feedforward(engine, each), scale)
            for each, scale in zip(self.towers, self._scales, strict=True)
        )
        return users, engine.feed_forward(tracks, engine.from_torch(self._tracks))


def _scale(places: torch.Tensor) -> torch.Tensor:
    return places.square().mean().clamp(min=1e-12).rsqrt()
