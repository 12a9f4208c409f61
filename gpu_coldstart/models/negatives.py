"""Tracks that users did not stream, drawn for CML on the device."""

from __future__ import annotations

import torch

__all__ = ["Candidates", "Positives", "Unstreamed", "similarity_weights"]

_LEAST = 1e-6
"""1 - s^2 is taken for at least so much, so that a track in the same place has a finite weight."""

_DISSIMILAR = -1e4
"""What makes the logarithm of a dissimilar track's weight less than that of any similar one's."""


class Positives:
    """The pairs of users and streamed tracks.

    Parameters
    ----------
    indptr : Tensor [users + 1] of int64
    tracks : Tensor [pairs] of int64
        Ascending for each user.
    n_tracks : int
    """

    def __init__(self, indptr: torch.Tensor, tracks: torch.Tensor, n_tracks: int):
        self.indptr, self.tracks, self.n_tracks = indptr, tracks, n_tracks
        self.lengths = indptr.diff()
        everyone = torch.arange(len(self.lengths), device=tracks.device)
        self.users = everyone.repeat_interleave(self.lengths, output_size=len(tracks))

    @property
    def popularity(self) -> torch.Tensor:
        """Users who streamed each track [tracks] of int64."""
        return torch.bincount(self.tracks, minlength=self.n_tracks)

    def among(
        self, users: torch.Tensor, candidates: torch.Tensor, total: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Row of each user [n] and column of each candidate [c] that the user streamed.

        Parameters
        ----------
        total : int
            Tracks that these users streamed, so that nothing has to come from the device.

        Returns
        -------
        rows, columns : Tensor [total] of int64
            A track that is no candidate has the column c.
        """
        device = users.device
        column = torch.full((self.n_tracks,), len(candidates), device=device)
        column[candidates] = torch.arange(len(candidates), device=device)
        lengths = self.lengths[users]
        rows = torch.arange(len(users), device=device).repeat_interleave(lengths, output_size=total)
        # A user's entries lie one after the other, here as among all pairs.
        shift = self.indptr[users] - (lengths.cumsum(0) - lengths)
        entries = torch.arange(total, device=device) + shift[rows]
        return rows, column[self.tracks[entries]]


class Unstreamed:
    """Draws tracks that a user did not stream, each by its weight.

    All of a user's streamed tracks are cut out of the line on which each track has a length of its
    weight, so that every place on what remains is another track's. Lengths are whole numbers:
    nothing is rounded, and nothing has to be drawn twice.

    Parameters
    ----------
    positives : Positives
    weights : Tensor [tracks] of float64
    """

    def __init__(self, positives: Positives, weights: torch.Tensor):
        self._positives = positives
        users = len(positives.lengths)
        share = weights / weights.sum()
        lengths = (share * (2**62 // (users + 1) - len(weights))).long() + (weights > 0)
        self._ends = lengths.cumsum(0)
        own = lengths[positives.tracks]
        self._cut = torch.cat([own.new_zeros(1), own.cumsum(0)])
        before = self._cut[positives.indptr]
        self.left = self._ends[-1] - before.diff()
        """What is left of the line for each user [users] of int64; 0 where there is no track."""
        starts = (self._ends - lengths)[positives.tracks]
        # Where each cut is made in what is left, of all users one after the other.
        self._cuts = starts - (self._cut[:-1] - before[positives.users])
        self._stride = self._ends[-1] + 1
        self._cuts += positives.users * self._stride

    def draw(self, users: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        """For each user [m] of those with a track left, ``n`` of them: [m, n] of int64."""
        shape = (len(users), n)
        where = torch.rand(shape, generator=generator, device=users.device, dtype=torch.float64)
        rows = users[:, None]
        place = (where * self.left[rows]).long()
        cuts = torch.searchsorted(self._cuts, place + rows * self._stride, right=True)
        place += self._cut[cuts] - self._cut[self._positives.indptr[rows]]
        return torch.searchsorted(self._ends, place, right=True)


class Candidates:
    """Draws distinct tracks by their weights, one after the other, without putting any back.

    Parameters
    ----------
    weights : Tensor [tracks] of float64
    size : int
        Of a draw; all tracks that have a weight where these are fewer.
    """

    def __init__(self, weights: torch.Tensor, size: int):
        self._drawn = weights.nonzero()[:, 0]
        self._weights = weights[self._drawn].float()
        self._size = min(size, len(self._drawn))

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Tracks [size] of int64."""
        # In a race of clocks that ring at these rates, the first ones are such a draw.
        times = torch.empty_like(self._weights).exponential_(generator=generator) / self._weights
        return self._drawn[times.topk(self._size, largest=False).indices]


def similarity_weights(similarities: torch.Tensor, dimension: int) -> torch.Tensor:
    """Logarithms of the weights by which the second of two stages draws.

    Weights are ``(1 - s^2)^(1 - (d - 1) / 2)`` for a similarity s above 0: the inverse, but for one
    factor, of how dense a random unit vector's similarities lie there in d dimensions (Wu et al.
    2017). No other track has any weight, unless all have none: then all are drawn alike.

    Parameters
    ----------
    similarities : Tensor
        Inner products of vectors in the unit ball.
    """
    weights = similarities.relu().square_().clamp_(max=1 - _LEAST).neg_().log1p_()
    return weights.mul_(1 - (dimension - 1) / 2).add_((similarities <= 0) * _DISSIMILAR)
