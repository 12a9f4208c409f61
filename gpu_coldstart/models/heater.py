"""Heater: randomised training and a mixture of experts (Zhu et al. 2020).

"Recommendation for New Users and New Items via Randomized Training and Mixture-of-Experts
Transformation", SIGIR 2020. Of its two cases this is that of new users, whose tracks come as their
places. The towers are without batch normalisation, as places are scaled.
"""

from __future__ import annotations

import torch
from torch import nn

from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.models.content import Batch, ContentTraining, perceptron, products
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.models.streams import InputLayer

__all__ = ["HeaterTraining"]


class HeaterTraining(ContentTraining):
    """Towers of users and of tracks, and a mixture of experts before that of the users.

    What the experts make of the content stands in for a place in the warm space, and is to be near
    it. In training the tower of the users takes either, at random. By squared error, the towers
    are to give the products of places.
    """

    def networks(self, first: InputLayer) -> nn.ModuleDict:
        """See :meth:`ContentTraining.networks`."""
        hidden, d, n = self.options.hidden, self.dimension, self.options.experts
        return nn.ModuleDict(
            {
                "experts": first(self.width, n * d + n),
                "users": perceptron(d, hidden, d),
                "tracks": perceptron(d, hidden, d),
            }
        )

    def error(self, batch: Batch) -> torch.Tensor:
        """See :meth:`ContentTraining.error`."""
        places, mixed = self.users[batch.users], self._mixed(batch.vectors)
        by_content = (batch.chance < self.options.randomised)[:, None]
        users = self.network["users"](torch.where(by_content, mixed, places))
        streamed, drawn = (
            (products(users, self.network["tracks"](tracks)) - products(places, tracks)).square()
            for tracks in (self.tracks[batch.streamed], self.tracks[batch.drawn])
        )
        apart = (mixed - places).square().sum(dim=1).mean()
        error: torch.Tensor = batch.mean((streamed + drawn) / 2) + self.options.similarity * apart
        return error

    def _mixed(self, vectors: torch.Tensor) -> torch.Tensor:
        n = self.options.experts
        values = self.network["experts"](vectors).tanh()
        experts, gate = values[:, :-n].reshape(len(values), n, -1), values[:, -n:]
        mixed: torch.Tensor = (gate[:, :, None] * experts).sum(dim=1).tanh()
        return mixed

    def learned(self) -> tuple[Feedforward, Array, Feedforward]:
        """The users' tower now, the tracks [tracks, d] in theirs, and experts beside their gate."""
        return (
            feedforward(self._engine, self.network["users"]),
            self._of_tracks(self.network["tracks"]),
            self._of_content(self.network["experts"]),
        )
