"""CML: users and tracks learned as points of one metric space (Hsieh et al. 2017)."""

from __future__ import annotations

from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces.base import Progress, Space

__all__ = ["Cml"]


class Cml:
    """Users near the tracks that they streamed, and less near to others."""

    name = "cml"
    label = "CML"
    similarity = "distance"
    Parameters = CmlConfig

    @staticmethod
    def check(engine: Engine, logs: Logs, parameters: CmlConfig) -> None:
        """Refuse logs in which every warm user streamed every track that anybody did.

        Raises
        ------
        UserError
        """
        del parameters
        xp = engine.xp
        heard = int((xp.bincount(logs.history.indices, minlength=logs.n_tracks) > 0).sum())
        if bool((xp.diff(logs.history.indptr) == heard).all()):
            raise UserError(
                "every warm user streamed every track that any of them did, so CML has nothing to "
                "tell apart: give more interactions, or another space"
            )

    @classmethod
    def fit(
        cls, engine: Engine, logs: Logs, parameters: CmlConfig, seed: int, progress: Progress
    ) -> Space:
        """Learn the space from who streamed what; a track that nobody did has a null row.

        Raises
        ------
        UserError
            What :meth:`check` refuses.
        """
        # A saved model knows the space by name, and does without PyTorch.
        from gpu_coldstart.models.cml import CmlTraining
        from gpu_coldstart.models.negatives import Positives

        cls.check(engine, logs, parameters)  # a caller of its own may not have
        history = logs.history
        indptr, tracks = (
            engine.to_torch(each).long() for each in (history.indptr, history.indices)
        )
        training = CmlTraining(Positives(indptr, tracks, logs.n_tracks), parameters, seed)
        losses: list[float] = []
        for epoch in range(1, parameters.epochs + 1):
            losses.append(training.epoch(epoch))
            progress(epoch, parameters.epochs, f"loss {losses[-1]:.5f}")
        n, places = logs.n_warm, engine.from_torch(training.places)
        unheard = engine.xp.bincount(history.indices, minlength=logs.n_tracks) == 0
        users, placed = places[:n].copy(), places[n:].copy()
        placed[unheard] = 0
        return Space("cml", placed, users, tuple(losses))
