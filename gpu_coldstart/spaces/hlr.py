"""HLR and its kin: users, tracks and their relations in one metric space (Tran et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_coldstart.config.metric import HlrConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Csr, Engine
from gpu_coldstart.spaces.base import Progress, Space
from gpu_coldstart.spaces.metric import OfPairs, pairs_of, placed
from gpu_coldstart.spaces.relations import RELATIONS
from gpu_coldstart.spaces.relations.scoring import Relations

if TYPE_CHECKING:
    from gpu_coldstart.models import Checkpoint

__all__ = ["HlrSpace", "learn"]


class HlrSpace(OfPairs):
    """Users who come near the tracks that they streamed by their relations to them."""

    name = "hlr"
    label = "HLR"
    Parameters = HlrConfig

    @classmethod
    def fit(
        cls,
        engine: Engine,
        logs: Logs,
        parameters: HlrConfig,
        seed: int,
        progress: Progress,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Space:
        """Learn the space from who streamed what; a track that nobody did has a null row.

        Raises
        ------
        UserError
            What :meth:`check` refuses.
        """
        cls.check(engine, logs, parameters)  # a caller of its own may not have
        return learn(engine, logs.history, parameters, seed, progress, checkpoint=checkpoint)


def learn(
    engine: Engine,
    history: Csr,
    parameters: HlrConfig,
    seed: int,
    progress: Progress,
    *,
    checkpoint: Checkpoint | None = None,
) -> Space:
    """Learn the space from who streamed what [warm users, tracks]."""
    # A saved model knows the space by name, and does without PyTorch.
    from gpu_coldstart.models.relations import RelationTraining

    training = RelationTraining(pairs_of(engine, history), parameters, seed)
    losses = training.train(progress, checkpoint)
    tracks, users = placed(engine, history, training.places.detach())
    kind = RELATIONS[parameters.relation]
    keys, memory = (
        engine.from_torch(each.detach()).copy() if kind.memory else None
        for each in (training.keys, training.memory)
    )
    audience = None
    if kind.audience:
        once = history.with_data(engine.xp.ones_like(history.data))
        audience = engine.pool(engine.transpose(once), users)
    relations = Relations(parameters.relation, parameters.history, keys, memory, audience)
    return Space("hlr", tracks, users, losses, relations=relations)
