"""Training of users' relations to tracks: one trunk for HLR and the models it is compared with."""

from __future__ import annotations

import math

import torch
from torch import nn

from gpu_coldstart.config.metric import HlrConfig
from gpu_coldstart.models.cml import in_ball, reseed
from gpu_coldstart.models.negatives import Positives, Unstreamed
from gpu_coldstart.models.optimizers import Adam
from gpu_coldstart.models.training import Checkpoint, TrainingState, copied, go_on, tensors_of
from gpu_coldstart.profiling import primitive
from gpu_coldstart.spaces.base import Progress
from gpu_coldstart.spaces.relations import RELATIONS, Pairs, Relation, apart

__all__ = ["Neighbours", "RelationTraining", "relation_loss"]

_DRAWN_AT_ONCE = 1 << 18
"""Pairs; what is drawn for more would take much memory."""


def relation_loss(
    relation: type[Relation], pairs: Pairs, *, margin: float, regularization: float
) -> torch.Tensor:
    """Mean over users of ``max(d(u, i) - d(u, j) + margin, 0)``, regularised.

    d is the squared distance after the relation. What a relation adds is added for the streamed
    track i alone.

    Parameters
    ----------
    pairs : Pairs
        Each user with the streamed track i, then with another one, j.
    """
    between = relation.between(torch, pairs)
    near, far = apart(pairs, between).unbind(1)
    loss: torch.Tensor = (near - far + margin).relu().mean()
    penalty = relation.penalty(pairs, between)
    return loss if penalty is None else loss + regularization * penalty[:, 0].mean()


class Neighbours:
    """Random ones of the entries of each row of a matrix, in an order of its own each epoch.

    Parameters
    ----------
    rows, entries : Tensor [n] of int64
        In any order.
    n_rows, most : int
        Of a row with more entries, so many are drawn, without putting any back.
    """

    def __init__(self, rows: torch.Tensor, entries: torch.Tensor, n_rows: int, most: int):
        self._rows, self._entries = rows, entries
        self._lengths = torch.bincount(rows, minlength=n_rows)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._most = max(1, min(most, int(self._lengths.max())))
        self._mixed = entries

    def mix(self, generator: torch.Generator) -> None:
        """Put the entries of each row into another order."""
        device = self._rows.device
        keys = torch.rand(len(self._rows), generator=generator, device=device, dtype=torch.float64)
        self._mixed = self._entries[(keys + self._rows).argsort()]

    def some(
        self, rows: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Entries of some rows [...]: those that follow any place, as if a row were a ring.

        Returns
        -------
        entries : Tensor [..., most] of int64
        there : Tensor [..., most] of bool
            False for a filling.
        """
        lengths = self._lengths[rows][..., None]
        where = torch.rand(lengths.shape, generator=generator, device=rows.device)
        ranks = torch.arange(self._most, device=rows.device)
        places = ((where * lengths).long() + ranks) % lengths.clamp(min=1)
        places = (places + self._starts[rows][..., None]).clamp(max=len(self._mixed) - 1)
        return self._mixed[places], ranks < lengths


class RelationTraining:
    """Users, tracks and relations in training.

    Parameters
    ----------
    positives : Positives
        Pairs of users who did not stream all there is; see :attr:`Unstreamed.left`.
    options : HlrConfig
    seed : int
        Of the pairs held out, the first places, the order of the pairs, and all that is drawn.

    Attributes
    ----------
    places : Tensor [users + tracks, d] of float32
        In the unit ball.
    keys, memory : Tensor [d, N] and [N, d] of float32
        Each slot likewise, and each key no longer than it may be.
    """

    def __init__(self, positives: Positives, options: HlrConfig, seed: int):
        self._positives, self._options, self._seed = positives, options, seed
        self._relation = RELATIONS[options.relation]
        self._unstreamed = Unstreamed(positives, (positives.popularity > 0).double())
        self._n_users, device = len(positives.lengths), positives.tracks.device
        # Draws on the device itself; each epoch seeds it anew.
        self._generator = torch.Generator(device)
        reseed(self._generator, seed, 0)
        pairs = (self._unstreamed.left > 0)[positives.users].nonzero()[:, 0]
        order = torch.randperm(len(pairs), generator=self._generator, device=device)
        n_held = min(math.ceil(options.held_out * len(pairs)), len(pairs) - 1)
        self._held, self._learned = pairs[order[:n_held]], pairs[order[n_held:]]
        learned = torch.ones_like(positives.tracks, dtype=torch.bool)
        learned[self._held] = False
        users, tracks = positives.users[learned], positives.tracks[learned]
        self._histories = Neighbours(users, tracks, self._n_users, options.history)
        self._audiences = None
        if self._relation.audience:
            self._audiences = Neighbours(tracks, users, positives.n_tracks, options.history)
        d, slots = options.dimension, options.memories

        def drawn(*shape: int) -> torch.Tensor:
            normal = torch.randn(shape, generator=self._generator, device=device)
            return normal.div_(d**0.5)

        places = in_ball(drawn(self._n_users + positives.n_tracks, d))
        self._parameters = nn.ParameterList((places, drawn(d, slots), drawn(slots, d)))
        self.places, self.keys, self.memory = self._parameters
        self._optimizer = Adam(self._parameters, learning_rate=options.learning_rate)

    def train(self, progress: Progress, checkpoint: Checkpoint | None = None) -> tuple[float, ...]:
        """Learn until the loss of the pairs held out grows; returns those losses by epoch.

        It goes on from the checkpoint, if something was saved, and saves epochs to it.
        """
        options, losses, since = self._options, list[float](), 0
        best = copied(self._parameters)
        saved = checkpoint.load() if checkpoint else None
        if saved is not None:
            best = go_on(saved, self._parameters, self._optimizer)
            losses, since = saved.values["losses"], saved.values["since"]
        for epoch in range(len(losses) + 1, options.epochs + 1):
            loss = self.epoch(epoch)
            losses.append(self.held_out_loss())
            progress(epoch, options.epochs, f"loss {loss:.5f}, held out {losses[-1]:.5f}")
            if losses[-1] == min(losses):
                best, since = copied(self._parameters), 0
            else:
                since += 1
            if options.patience and since == options.patience:
                break
            if checkpoint and checkpoint.due:
                tensors = tensors_of(self._parameters, self._optimizer, best)
                checkpoint.save(TrainingState(tensors, {"losses": losses, "since": since}))
        if options.patience:
            self._parameters.load_state_dict(best)
        return tuple(losses)

    @primitive("epoch")
    def epoch(self, epoch: int) -> float:
        """One pass over the pairs, from 1, in a fresh order; returns the mean loss on the way."""
        reseed(self._generator, self._seed, epoch)
        order = torch.randperm(
            len(self._learned), generator=self._generator, device=self._learned.device
        )
        return self._mean_loss(self._learned[order], learning=True)

    def held_out_loss(self) -> float:
        """Mean loss of the pairs held out, with the same draws each time."""
        reseed(self._generator, self._seed, 0)
        with torch.no_grad():
            return self._mean_loss(self._held, learning=False)

    def _mean_loss(self, pairs: torch.Tensor, *, learning: bool) -> float:
        size, positives = self._options.batch_size, self._positives
        for each in (self._histories, self._audiences):
            if each is not None:
                each.mix(self._generator)
        total = torch.zeros((), dtype=torch.float64, device=pairs.device)
        for block in torch.split(pairs, size * max(1, _DRAWN_AT_ONCE // size)):
            users, tracks = positives.users[block], positives.tracks[block]
            others = self._unstreamed.draw(users, 1, self._generator)
            both = torch.cat([tracks[:, None], others], dim=1)
            for some_users, some_tracks in zip(
                torch.split(users, size), torch.split(both, size), strict=True
            ):
                loss = self._loss(some_users, some_tracks)
                if learning:
                    self._step(loss)
                total += loss.detach() * len(some_users)
        return float(total) / max(1, len(pairs))

    def _loss(self, users: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
        """The loss of users [n] with a streamed track each and another one [n, 2]."""
        options = self._options
        history, there = self._histories.some(users, self._generator)
        # What is asked of a streamed track must not be answered by it.
        known = there & (history != tracks[:, :1])
        audience = None
        if self._audiences is not None:
            theirs, listened = self._audiences.some(tracks, self._generator)
            listened &= theirs != users[:, None, None]
            share = listened / listened.sum(-1, keepdim=True).clamp(min=1)
            audience = (share[..., None, :] @ self._at(theirs))[..., 0, :]
        pairs = Pairs(
            self._at(users[:, None]),
            self._at(self._n_users + tracks),
            self._at(self._n_users + history),
            known[:, None].to(self.places.dtype),
            audience,
            self.keys,
            self.memory,
        )
        return relation_loss(
            self._relation, pairs, margin=options.margin, regularization=options.regularization
        )

    def _at(self, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(rows, self.places)

    def _step(self, loss: torch.Tensor) -> None:
        """A step of Adam, after which what has become too long is shortened."""
        torch.autograd.backward(loss)  # what loss.backward() does, with annotations
        self._optimizer.step()
        with torch.no_grad():
            longest = self._options.key_length
            self.keys.copy_(longest * in_ball(self.keys.T / longest).T)
            for each in (self.places, self.memory):
                each.copy_(in_ball(each))
