"""CML: users and tracks learned as points of one metric space (Hsieh et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.spaces.base import Progress, Space
from gpu_coldstart.spaces.metric import OfPairs, pairs_of, placed

if TYPE_CHECKING:
    from gpu_coldstart.models import Checkpoint

__all__ = ["Cml"]


class Cml(OfPairs):
    """Users near the tracks that they streamed, and less near to others."""

    name = "cml"
    label = "CML"
    Parameters = CmlConfig

    @classmethod
    def fit(
        cls,
        engine: Engine,
        logs: Logs,
        parameters: CmlConfig,
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
        # A saved model knows the space by name, and does without PyTorch.
        from gpu_coldstart.models import TrainingState
        from gpu_coldstart.models.cml import CmlTraining

        cls.check(engine, logs, parameters)  # a caller of its own may not have
        training = CmlTraining(pairs_of(engine, logs.history), parameters, seed)
        losses: list[float] = []
        saved = checkpoint.load() if checkpoint else None
        if saved is not None:
            training.go_on_from(saved.tensors)
            losses = saved.values["losses"]
        for epoch in range(len(losses) + 1, parameters.epochs + 1):
            losses.append(training.epoch(epoch))
            progress(epoch, parameters.epochs, f"loss {losses[-1]:.5f}")
            if checkpoint and checkpoint.due:
                checkpoint.save(TrainingState(training.state, {"losses": losses}))
        return Space(cls.name, *placed(engine, logs.history, training.places), tuple(losses))
