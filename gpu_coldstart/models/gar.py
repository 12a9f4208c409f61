"""GAR: generated places and a recommender that learns to see through them (Chen et al. 2022).

"Generative Adversarial Framework for Cold-Start Item Recommendation", SIGIR 2022. There places of
new items are generated, here those of new users. A recommender that sees through a generated place
scores lowest what the user streamed, which turns the list round; so drawn tracks weigh more for it
here, and the similarity more for the generator. The generator ends in a tanh, and the layers are
without batch normalisation and dropout, as content and places are scaled.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import softplus

from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.models.content import Batch, ContentTraining, perceptron, products
from gpu_coldstart.models.streams import InputLayer

__all__ = ["GarTraining"]


class GarTraining(ContentTraining):
    """The generator, of content, and the recommender: towers of users' and tracks' places.

    The recommender is to score a streamed track higher for the user's place than for the generated
    one, and higher than a drawn track. The generator is to make the generated place score higher,
    and be near the other. Each learns from the other as it stands: neither's loss reaches the
    other's weights.
    """

    def networks(self, first: InputLayer) -> nn.ModuleDict:
        """See :meth:`ContentTraining.networks`."""
        hidden, d = self.options.hidden, self.dimension
        return nn.ModuleDict(
            {
                "generator": nn.Sequential(perceptron(self.width, hidden, d, first), nn.Tanh()),
                "users": perceptron(d, hidden, d),
                "tracks": perceptron(d, hidden, d),
            }
        )

    def error(self, batch: Batch) -> torch.Tensor:
        """See :meth:`ContentTraining.error`."""
        weight, similarity = self.options.drawn, self.options.similarity
        generator, users, tracks = (self.network[name] for name in ("generator", "users", "tracks"))
        places, generated = self.users[batch.users], generator(batch.vectors)
        streamed, drawn = tracks(self.tracks[batch.streamed]), tracks(self.tracks[batch.drawn])
        placed = users(places)
        real = products(placed, streamed)
        seen = products(users(generated.detach()), streamed)
        preferred = softplus(products(placed, drawn) - real)
        recommender = (1 - weight) * softplus(seen - real) + weight * preferred
        still = {name: each.detach() for name, each in users.named_parameters()}
        passing = products(functional_call(users, still, (generated,)), streamed.detach())
        apart = (generated - places).abs().mean()
        error: torch.Tensor = (
            batch.mean(recommender + (1 - similarity) * softplus(real.detach() - passing))
            + similarity * apart
        )
        return error

    def learned(self) -> tuple[Feedforward, Array]:
        """From content through the generator and a tower now, and the tracks [tracks, d]."""
        whole = nn.Sequential(self.network["generator"], self.network["users"])
        return self._of_content(whole), self._of_tracks(self.network["tracks"])
