"""Collaborative Metric Learning (Hsieh et al. 2017): its loss, and its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.models.negatives import Candidates, Positives, Unstreamed, similarity_weights
from gpu_coldstart.profiling import primitive

__all__ = ["CmlTraining", "cml_loss", "in_ball", "nearest", "reseed"]

_DRAWN_AT_ONCE = 1 << 18
"""Pairs; what is drawn for more would take much memory."""

_LEAST = 1e-12
_EPSILON = 1e-10  # of AdaGrad


def nearest(
    users: torch.Tensor, tracks: torch.Tensor, negatives: torch.Tensor, margin: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of each pair's negatives is the nearest to the user, and how many are impostors.

    Parameters
    ----------
    users, tracks : Tensor [n, d]
    negatives : Tensor [n, w, d]

    Returns
    -------
    place : Tensor [n] of int64
    impostors : Tensor [n]
        Share of the negatives that are nearer than the track is with the margin.
    """
    near = (users - tracks).square().sum(dim=1, keepdim=True)
    far = (users[:, None] - negatives).square().sum(dim=2)
    return far.argmin(dim=1), (far < near + margin).to(near.dtype).mean(dim=1)


def cml_loss(
    places: torch.Tensor,
    impostors: torch.Tensor,
    *,
    n_tracks: int,
    margin: float,
    covariance: float,
) -> torch.Tensor:
    """Mean over pairs of ``log(1 + rank) max(d(u, i) - d(u, j) + margin, 0)``, regularised.

    d is the squared distance, and j the nearest of a pair's negatives. The rank of the pair's track
    is estimated by the share of all tracks that are impostors. To this comes ``covariance`` times
    the sum of the squared covariances of any two different dimensions over users and tracks.

    Parameters
    ----------
    places : Tensor [3, n, d]
        Of the users, their tracks, and the nearest negatives.
    impostors : Tensor [n]
        As :func:`nearest` has them.
    """
    users, tracks, negatives = places.unbind()
    near, far = ((users - each).square().sum(dim=1) for each in (tracks, negatives))
    loss = ((n_tracks * impostors).log1p() * (near - far + margin).relu()).mean()
    if not covariance:
        return loss
    rows = torch.cat([users, tracks])
    rows = rows - rows.mean(dim=0)
    covariances = rows.T @ rows / len(rows)
    squares = covariances.square().sum() - covariances.diagonal().square().sum()
    return loss + covariance * squares


class CmlTraining:
    """Users and tracks in training.

    Parameters
    ----------
    positives : Positives
        Pairs of users who did not stream all there is; see :attr:`Unstreamed.left`.
    options : CmlConfig
    seed : int
        Of the first places, the order of the pairs, and all that is drawn.

    Attributes
    ----------
    places : Tensor [users + tracks, d] of float32
        In the unit ball.
    """

    def __init__(self, positives: Positives, options: CmlConfig, seed: int):
        self._positives, self._options, self._seed = positives, options, seed
        popularity = positives.popularity.double()
        heard = (popularity > 0).double()
        weights = (popularity / popularity.max()) ** options.popularity_power
        # However high the power, no track is impossible that somebody streamed.
        weights = weights.clamp(min=_LEAST) * heard
        uniform = options.sampler == "uniform"
        self._unstreamed = Unstreamed(positives, heard if uniform else weights)
        self._candidates = None
        if options.sampler == "two-stage":
            self._candidates = Candidates(weights, options.candidates)
        left = self._unstreamed.left > 0
        self._pairs = left[positives.users].nonzero()[:, 0]
        self._n_users, device = len(left), positives.tracks.device
        # Draws on the device itself; each epoch seeds it anew.
        self._generator = torch.Generator(device)
        reseed(self._generator, seed, 0)
        size = (self._n_users + positives.n_tracks, options.dimension)
        drawn = torch.randn(size, generator=self._generator, device=device)
        self.places = in_ball(drawn / options.dimension**0.5)
        self._squares = torch.zeros_like(self.places)  # AdaGrad's, of all gradients so far
        self._gradient = torch.zeros_like(self.places)  # null but within a step

    @property
    def n_pairs(self) -> int:
        """Pairs that there is something to learn from."""
        return len(self._pairs)

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """What the epochs to come depend on, by name."""
        return {"places": self.places, "squares": self._squares}

    def go_on_from(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state of the same training."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])

    @primitive("epoch")
    def epoch(self, epoch: int) -> float:
        """One pass over the pairs, from 1, in a fresh order; returns the mean loss on the way."""
        reseed(self._generator, self._seed, epoch)
        n, size, device = self.n_pairs, self._options.batch_size, self._pairs.device
        order = torch.randperm(n, generator=self._generator, device=device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        for block in torch.split(self._pairs[order], size * max(1, _DRAWN_AT_ONCE // size)):
            for users, tracks, negatives in self._batches(block):
                total += self._learn(users, tracks, negatives) * len(users)
        return float(total) / n

    def _batches(
        self, pairs: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Users [n], tracks [n] and negatives [n, w] of each batch of some pairs."""
        positives, size = self._positives, self._options.batch_size
        users, tracks = positives.users[pairs], positives.tracks[pairs]
        drawn = self._unstreamed.draw(users, self._options.negatives, self._generator)
        some = zip(*(torch.split(each, size) for each in (users, tracks, drawn)), strict=True)
        if self._candidates is None:
            yield from some
            return
        lengths = nn.functional.pad(positives.lengths[users], (0, -len(users) % size))
        streamed = lengths.view(-1, size).sum(dim=1).tolist()
        for (u, t, d), total in zip(some, streamed, strict=True):
            yield u, t, self._two_stage(u, t, d, total)

    def _two_stage(
        self, users: torch.Tensor, tracks: torch.Tensor, drawn: torch.Tensor, streamed: int
    ) -> torch.Tensor:
        """Negatives [n, w] by popularity and similarity to the pairs' tracks.

        Parameters
        ----------
        drawn : Tensor [n, w]
            By popularity: for a user who streamed all or nearly all candidates.
        streamed : int
            Tracks that these users streamed.
        """
        assert self._candidates is not None
        candidates = self._candidates.draw(self._generator)
        n, size = len(users), len(candidates)
        theirs = self.places[self._n_users + tracks]
        # One column more, for tracks that are no candidates.
        others = self.places[self._n_users + torch.cat([candidates, candidates[:1]])]
        weights = similarity_weights(theirs @ others.T, self._options.dimension)
        weights[self._positives.among(users, candidates, streamed)] = -torch.inf
        # Those that come first by a weight's logarithm and Gumbel's noise are a draw by weight. The
        # noise of a row is the next row's, moved by one: of each row by itself it is as random.
        noise = torch.empty(n + size - 1, device=users.device)
        noise.exponential_(generator=self._generator).log_()
        noisy = weights[:, :size] - noise.unfold(0, size, 1)
        first = noisy.topk(min(drawn.shape[1], size), dim=1)
        drawn = drawn[:, : first.values.shape[1]]
        return torch.where(first.values > -torch.inf, candidates[first.indices], drawn)

    def _learn(
        self, users: torch.Tensor, tracks: torch.Tensor, negatives: torch.Tensor
    ) -> torch.Tensor:
        """A step of AdaGrad on the rows of a batch, which then are brought back into the ball."""
        options = self._options
        tracks, negatives = self._n_users + tracks, self._n_users + negatives
        which, impostors = nearest(
            self.places[users], self.places[tracks], self.places[negatives], options.margin
        )
        rows = torch.cat([users, tracks, negatives.gather(1, which[:, None])[:, 0]])
        places = self.places[rows].requires_grad_()
        loss = cml_loss(
            places.view(3, len(users), -1),
            impostors,
            n_tracks=self._positives.n_tracks,
            margin=options.margin,
            covariance=options.covariance,
        )
        (slope,) = torch.autograd.grad(loss, places)
        # Rows may be there several times: each then gets the same sum, and the same place.
        slope = self._gradient.index_add_(0, rows, slope)[rows]
        self._gradient[rows] = 0
        squares = self._squares[rows].addcmul_(slope, slope)
        self._squares[rows] = squares
        moved = slope.div_(squares.sqrt_().add_(_EPSILON)).mul_(options.learning_rate)
        self.places[rows] = in_ball(places.detach() - moved)
        return loss.detach()


def reseed(generator: torch.Generator, seed: int, epoch: int) -> None:
    """Let a generator begin anew, in each epoch of each seed by another state."""
    state = np.random.SeedSequence((seed, epoch)).generate_state(1)
    generator.manual_seed(int(state[0]))


def in_ball(places: torch.Tensor) -> torch.Tensor:
    """Places of a length above 1 made unit."""
    return places / places.square().sum(dim=1, keepdim=True).sqrt_().clamp_(min=1)
