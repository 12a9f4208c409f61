"""Training of the network by triplets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner

from gpu_coldstart.artists.network import ArtistNetwork
from gpu_coldstart.artists.triplets import Triplets
from gpu_coldstart.batches import batches
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.engine.base import Engine, HostArray

__all__ = ["fit"]


def fit(
    engine: Engine,
    heard: HostArray,
    artists: HostArray,
    genres: HostArray,
    *,
    options: ArtistsConfig,
    seed: int,
    progress: Callable[[int, float], None],
) -> ArtistNetwork:
    """Learn a network that places the tracks of an artist near each other.

    In an epoch as many triplets are drawn as there are tracks, and of each track one excerpt.

    Parameters
    ----------
    heard : HostArray [tracks, excerpts, mel bands, frames] of float16
    artists, genres : HostArray [tracks] of int64
        As :class:`Triplets` takes them.
    seed : int
        Of the first weights and all that is drawn.
    progress : callable (epoch, loss)
        Called after each epoch, from 1, with its mean loss.
    """
    sound, labels = (engine.to_torch(engine.asarray(each)) for each in (heard, artists))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ArtistNetwork(options).to(sound.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    triplets = Triplets(artists, genres, options.same_genre)
    learned_from, n = _Loss(options), len(heard)
    for epoch in range(1, options.epochs + 1):
        random = np.random.default_rng((seed, epoch))
        drawn = np.stack(triplets.draw(n, random))
        excerpts = random.integers(options.excerpts, size=drawn.shape)
        which, part = (engine.to_torch(engine.asarray(each)) for each in (drawn, excerpts))
        total = torch.zeros((), dtype=torch.float64, device=sound.device)
        network.train()
        for some in batches(n, options.batch_size):
            tracks, parts = which[:, some].ravel(), part[:, some].ravel()
            loss = learned_from(network(sound[tracks, parts].float()), labels[tracks])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.detach() * (len(tracks) / 3)
        progress(epoch, float(total) / n)
    return network


class _Loss:
    """``max(d(a, p) - d(a, n) + margin, 0)`` over triplets, d the Euclidean distance.

    The mean is over those that are not 0 yet.
    """

    def __init__(self, options: ArtistsConfig):
        self._loss = TripletMarginLoss(options.margin)
        self._miner = None
        if options.miner != "none":
            self._miner = TripletMarginMiner(options.margin, options.miner)

    def __call__(self, places: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch: anchors [m], positives and negatives, one after the other."""
        if self._miner is not None:
            chosen = self._miner(places, labels)
        else:
            chosen = tuple(torch.arange(len(places), device=places.device).chunk(3))
        loss: torch.Tensor = self._loss(places, labels, chosen)
        return loss
