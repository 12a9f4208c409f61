"""ALDI: a student of content learns from a teacher of warm places (Huang et al. 2023).

"Aligning Distillation For Cold-Start Item Recommendation", SIGIR 2023. There items are new: theirs
is the content, and what sets items apart and makes them trustworthy. Here it is the users'. The
layers are without batch normalisation, as content and places are scaled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.models.content import Batch, ContentTraining, perceptron, products
from gpu_coldstart.models.streams import InputLayer

__all__ = ["AldiTraining", "trusted"]


class AldiTraining(ContentTraining):
    """Student and teacher.

    The teacher's scores are the products of places in the warm space. The student's are those of
    what a network makes of the content, and another of the track's place. Besides telling streamed
    tracks from drawn ones, the student is to give the teacher's scores, to be as sure of the order
    of two tracks, and to tell a user from others as surely, by products among users.
    """

    def __init__(self, engine: Engine, *args: Any, plays: Csr, **options: Any):
        super().__init__(engine, *args, plays=plays, **options)
        self._trust = trusted(engine, plays, self.options.trust)

    def networks(self, first: InputLayer) -> nn.ModuleDict:
        """See :meth:`ContentTraining.networks`."""
        hidden, d = self.options.hidden, self.dimension
        users, tracks = perceptron(self.width, hidden, d, first), perceptron(d, hidden, d)
        return nn.ModuleDict({"users": users, "tracks": tracks})

    def error(self, batch: Batch) -> torch.Tensor:
        """See :meth:`ContentTraining.error`."""
        options, trust = self.options, self._trust[batch.users]
        users, content = self.users[batch.users], self.network["users"](batch.vectors)
        taught, learned = [], []
        for tracks in (self.tracks[batch.streamed], self.tracks[batch.drawn]):
            taught.append(products(users, tracks))
            learned.append(products(content, self.network["tracks"](tracks)))
        order = learned[0] - learned[1]
        rating = (learned[0] - taught[0]).abs() + (learned[1] - taught[1]).abs()
        ranking = trust[:, None] * _aligned(order, taught[0] - taught[1])
        identification = trust * _aligned(_apart(content), _apart(users))
        error: torch.Tensor = (
            batch.mean(softplus(-order) + options.rating * rating + options.ranking * ranking)
            + options.identification * identification.mean()
        )
        return error

    def learned(self) -> tuple[Feedforward, Array]:
        """The student's users now, of input vectors as they are, and its tracks [tracks, d]."""
        users, tracks = self.network["users"], self.network["tracks"]
        return self._of_content(users), self._of_tracks(tracks)


def trusted(engine: Engine, plays: Csr, trust: float) -> torch.Tensor:
    """How far the teacher is to be trusted with each user [users] of float32.

    The more tracks, and the rarer they are, the better the teacher knows the user: a track that n
    users streamed counts as 1 / n. Relative to the mean over users, and 1 at most, the sum s of
    these gives ``tanh(trust * s)``.

    Parameters
    ----------
    plays : Csr [users, tracks]
        Values do not matter.
    """
    users = torch.bincount(engine.to_torch(plays.indices), minlength=plays.shape[1])
    rarity = engine.from_torch(users.clamp(min=1).float().reciprocal()[:, None])
    once = plays.with_data(engine.xp.ones(plays.nnz, dtype=engine.xp.float32))
    known = engine.to_torch(engine.pool(once, rarity))[:, 0]
    known = known * engine.to_torch(plays.indptr).diff()
    return torch.tanh(trust * (known / known.mean().clamp(min=1e-12)).clamp(max=1))


def _apart(users: torch.Tensor) -> torch.Tensor:
    """Each user's product with itself, less the mean one with the others [n]."""
    own = users.square().sum(dim=1)
    others = users @ users.sum(dim=0) - own
    return own - others / max(len(users) - 1, 1)


def _aligned(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the student's certainty with the teacher's, both given as logits."""
    return binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none")
