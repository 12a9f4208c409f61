"""A network from the input vector to a softmax over all tracks, and its training.

Where there are many tracks, the sum over all of them is estimated from a sample (Bengio & Senecal
2008; Yi et al. 2019).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gpu_coldstart.config.streams import TrackSoftmaxConfig
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.features import Inputs
from gpu_coldstart.models.streams import InputLayer, Streams, StreamTraining, Tower

__all__ = ["Sampler", "SoftmaxTraining", "TrackLogits", "sampled_loss", "softmax_loss"]


class TrackLogits(nn.Module):
    """Factors of users and of tracks, whose products are the logits of a softmax over tracks.

    Parameters
    ----------
    inputs, hidden : int
        Widths of the input vector and the hidden layer.
    tracks : Tensor [tracks, factors] of float32
        Factors of the tracks before training.
    chart : Tensor [tracks] of float32
        Logits of a user of whom nothing is known.
    input_layer : callable (inputs, outputs)
        What makes the first layer, as in :class:`gpu_coldstart.models.mlp.Mlp`.
    """

    chart: torch.Tensor

    def __init__(
        self,
        inputs: int,
        hidden: int,
        tracks: torch.Tensor,
        chart: torch.Tensor,
        input_layer: InputLayer = nn.Linear,
    ):
        super().__init__()
        self.users = Tower(inputs, hidden, tracks.shape[1], input_layer)
        self.tracks = nn.Parameter(tracks.clone())
        self.learned = nn.Parameter(torch.zeros_like(chart))
        self.register_buffer("chart", chart, persistent=False)

    @property
    def offsets(self) -> torch.Tensor:
        """What is added to each track's product [tracks]; its decay is towards the chart."""
        return self.chart + self.learned

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Logits [n, tracks] of input vectors [n, inputs]."""
        return torch.addmm(self.offsets, self.users(vectors), self.tracks.T)

    def of(self, factors: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
        """Logits of some tracks for users of these factors [n, factors].

        Parameters
        ----------
        tracks : Tensor [m] or [n, m] of int64
            The same for all users, or each user's own.

        Returns
        -------
        Tensor [n, m]
        """
        theirs, offsets = self.tracks[tracks], self.offsets[tracks]
        if tracks.ndim == 1:
            return torch.addmm(offsets, factors, theirs.T)
        return torch.baddbmm(offsets[:, :, None], theirs, factors[:, :, None])[:, :, 0]


def softmax_loss(logits: torch.Tensor, tracks: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Mean over users of the mean -log p(track).

    Parameters
    ----------
    logits : Tensor [n, all tracks]
    tracks, shares : Tensor [n, m]
        What :meth:`gpu_coldstart.models.streams.Streams.of` returns.
    """
    return -(shares * logits.log_softmax(dim=1).gather(1, tracks)).sum(dim=1).mean()


def sampled_loss(
    own: torch.Tensor,
    others: torch.Tensor,
    *,
    tracks: torch.Tensor,
    shares: torch.Tensor,
    sample: torch.Tensor,
    expected: torch.Tensor,
) -> torch.Tensor:
    """:func:`softmax_loss`, with the sum over all tracks estimated.

    A user's own tracks are summed exactly. All others are estimated by the tracks of the sample
    that are not the user's own, each divided by how often it is expected in a sample, so that the
    estimate of the sum is right in the mean.

    Parameters
    ----------
    own : Tensor [n, m]
        Logits of ``tracks``.
    others : Tensor [n, s]
        Logits of the sample.
    tracks, shares : Tensor [n, m]
        What :meth:`gpu_coldstart.models.streams.Streams.of` returns.
    sample : Tensor [s] of int64
        Ascending; a track may be there several times.
    expected : Tensor [s]
        How often each is expected in a sample.
    """
    others = (others - expected.log()).masked_fill(_hits(tracks, sample), -torch.inf)
    known = own.masked_fill(shares == 0, -torch.inf)
    mine = (shares * own).sum(dim=1)
    return (torch.cat([known, others], dim=1).logsumexp(dim=1) - mine).mean()


def _hits(tracks: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """Whether each of the ascending sample [s] is among each user's tracks [n, m]: [n, s]."""
    size = len(sample)
    places = torch.searchsorted(sample, tracks)
    there = sample[places.clamp(max=size - 1)] == tracks
    # Noted where the track first stands in the sample, or past its end.
    found = torch.zeros((len(tracks), size + 1), dtype=torch.bool, device=tracks.device)
    found.scatter_(1, torch.where(there, places, size), value=True)
    return found[:, torch.searchsorted(sample, sample)]


class Sampler:
    """Draws tracks, the more often the more popular.

    Popular tracks hold most of the sum that is estimated, as long as the network has not learned
    much; a power below 1 gives the others, which the network lifts for some users, a larger part.
    A draw is taken from each of ``size`` equal parts of the distribution, so that the sample is
    as even as it can be and ascends.

    Parameters
    ----------
    popularity : Tensor [tracks] of float32
        Positive.
    power : float
        0 draws all tracks alike, 1 by popularity.
    size : int
        Of a sample.
    """

    def __init__(self, popularity: torch.Tensor, power: float, size: int):
        weights = popularity.double() ** power
        self._ends = (weights / weights.sum()).cumsum(0)
        self._expected = (size * weights / weights.sum()).to(popularity.dtype)
        self._size = size

    def draw(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Tracks [size] of int64, ascending, and how often each is expected [size] of float32."""
        device = self._ends.device
        places = torch.arange(self._size, device=device, dtype=torch.float64)
        places += torch.rand(self._size, generator=generator, device=device, dtype=torch.float64)
        sample = torch.searchsorted(self._ends, places / self._size, right=True)
        sample.clamp_(max=len(self._ends) - 1)  # the last end may be a little below 1
        return sample, self._expected[sample]


class SoftmaxTraining(StreamTraining[TrackLogits]):
    """The network in training.

    Parameters
    ----------
    engine, inputs, scale, plays, seed
        As in :class:`gpu_coldstart.models.streams.StreamTraining`.
    popularity : Array [tracks]
        Warm users who streamed each track.
    tracks : Array [tracks, d] of float32
        Where their factors start: random ones take longer to learn and end worse.
    options : TrackSoftmaxConfig
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        scale: Array,
        *,
        plays: Csr,
        popularity: Array,
        tracks: Array,
        options: TrackSoftmaxConfig,
        seed: int,
    ):
        # As if one user more had streamed each track, so that none is impossible.
        smoothed = engine.to_torch((popularity + 1).astype(engine.xp.float32))
        chart = (smoothed / smoothed.sum()).log()
        super().__init__(
            engine,
            inputs,
            scale,
            plays=plays,
            make=lambda layer: TrackLogits(
                inputs.width, options.hidden, engine.to_torch(tracks), chart, layer
            ),
            options=options,
            seed=seed,
        )
        self._streams = Streams(engine, plays, options.tracks)
        self._sampler = None
        if len(chart) > options.full_up_to:
            self._sampler = Sampler(smoothed, options.negatives_power, options.negatives)
        # Draws on the device itself; each epoch seeds it anew.
        self._generator = torch.Generator(chart.device)

    def epoch(self, epoch: int) -> float:
        """See :meth:`StreamTraining.epoch`."""
        state = np.random.SeedSequence((self._seed, epoch)).generate_state(1)
        self._generator.manual_seed(int(state[0]))
        return super().epoch(epoch)

    def loss(self, vectors: torch.Tensor, users: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """See :meth:`StreamTraining.loss`."""
        tracks, shares = self._streams.of(users, shift)
        if self._sampler is None:
            return softmax_loss(self.network(vectors), tracks, shares)
        factors = self.network.users(vectors)
        sample, expected = self._sampler.draw(self._generator)
        return sampled_loss(
            self.network.of(factors, tracks),
            self.network.of(factors, sample),
            tracks=tracks,
            shares=shares,
            sample=sample,
            expected=expected,
        )

    def learned(self) -> tuple[Feedforward, Array]:
        """The network of the users now, as a copy, and the factors of the tracks.

        Both have one factor more, the last: 1 for every user, and the offset of a track.

        Returns
        -------
        users : Feedforward
        tracks : Array [tracks, factors + 1] of float32
        """
        xp, network = self._engine.xp, self.network
        first, last = self._layers(network.users)
        nothing = xp.zeros((len(last.weights), 1), dtype=xp.float32)
        one = xp.ones(1, dtype=xp.float32)
        with_offset = Dense(
            xp.concatenate([last.weights, nothing], axis=1), xp.concatenate([last.offset, one])
        )
        with torch.no_grad():
            tracks = torch.cat([network.tracks, network.offsets[:, None]], dim=1)
        return Feedforward((first, with_offset)), self._engine.from_torch(tracks)
