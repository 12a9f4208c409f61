"""CLCRec: content and preferences as two views of a user (Wei et al. 2021).

"Contrastive Learning for Cold-Start Recommendation", MM 2021. There items are new and have the two
views; here it is the users, so that one is contrasted with the others of the batch, and with its
tracks as a hybrid of both views. Places start from the warm space, not at random, the encoder has
rectifiers that do not leak, and weights are not regularised unless by ``weight_decay``.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.models.content import Batch, ContentTraining, perceptron, products
from gpu_coldstart.models.streams import InputLayer

__all__ = ["ClcRecTraining"]


class ClcRecTraining(ContentTraining):
    """Places of warm users and of tracks, which are learned, and an encoder of the content.

    A user's place is to be nearer to the user's encoded content than to that of others, and the
    user, who comes by one or the other at random, nearer to streamed tracks than to all that are
    drawn for the batch.
    """

    def networks(self, first: InputLayer) -> nn.ModuleDict:
        """See :meth:`ContentTraining.networks`."""
        # torch leaves this method without annotations, which strict mypy may not call.
        users, tracks = (
            nn.Embedding.from_pretrained(places.clone(), freeze=False)  # type: ignore[no-untyped-call]
            for places in (self.users, self.tracks)
        )
        content = perceptron(self.width, self.options.hidden, self.dimension, first, nn.ReLU)
        return nn.ModuleDict({"users": users, "tracks": tracks, "content": content})

    def error(self, batch: Batch) -> torch.Tensor:
        """See :meth:`ContentTraining.error`."""
        options, network = self.options, self.network
        users, content = network["users"](batch.users), network["content"](batch.vectors)
        alike = normalize(users, dim=1) @ normalize(content, dim=1).T / options.temperature
        alignment = cross_entropy(alike, torch.arange(len(users), device=users.device))
        by_content = (batch.chance < options.hybrid)[:, None]
        hybrid = torch.where(by_content, content, users) / options.temperature
        streamed = products(hybrid, network["tracks"](batch.streamed))
        drawn = (hybrid @ network["tracks"](batch.drawn.ravel()).T).logsumexp(dim=1)
        preference = batch.mean(streamed.logaddexp(drawn[:, None]) - streamed)
        weight = options.alignment
        error: torch.Tensor = weight * alignment + (1 - weight) * preference
        return error

    def learned(self) -> tuple[Feedforward, Array]:
        """The encoder now, of input vectors as they are, and the tracks' places [tracks, d]."""
        (tracks,) = self.network["tracks"].parameters()
        copy = self._engine.from_torch(tracks.detach().clone())
        return self._of_content(self.network["content"]), copy
