"""What spaces learned from pairs of users and streamed tracks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gpu_coldstart.config.base import Parameters
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    import torch

    from gpu_coldstart.models.negatives import Positives

__all__ = ["OfPairs", "pairs_of", "placed"]


class OfPairs:
    """A space learned from who streamed what, and searched by the distance."""

    label: ClassVar[str]
    similarity = "distance"
    resumable = True

    @classmethod
    def check(cls, engine: Engine, logs: Logs, parameters: Parameters) -> None:
        """Refuse logs in which every warm user streamed every track that anybody did.

        Raises
        ------
        UserError
        """
        del parameters
        xp, history = engine.xp, logs.history
        heard = int((xp.bincount(history.indices, minlength=history.shape[1]) > 0).sum())
        if bool((xp.diff(history.indptr) == heard).all()):
            raise UserError(
                f"every warm user streamed every track that any of them did, so {cls.label} has "
                "nothing to tell apart: give more interactions, or another space"
            )


def pairs_of(engine: Engine, history: Csr) -> Positives:
    """The pairs of warm users and tracks that they streamed [warm users, tracks]."""
    from gpu_coldstart.models.negatives import Positives  # a saved model does without PyTorch

    indptr, tracks = (engine.to_torch(each).long() for each in (history.indptr, history.indices))
    return Positives(indptr, tracks, history.shape[1])


def placed(engine: Engine, history: Csr, places: torch.Tensor) -> tuple[Array, Array]:
    """Tracks, a null row for each that nobody streamed, and users, of places of users then tracks.

    Parameters
    ----------
    history : Csr [warm users, tracks]
    places : Tensor [users + tracks, d] of float32

    Returns
    -------
    tracks : Array [tracks, d] of float32
    users : Array [warm users, d] of float32
    """
    every = engine.from_torch(places)
    n_users, n_tracks = history.shape
    unheard = engine.xp.bincount(history.indices, minlength=n_tracks) == 0
    users, tracks = every[:n_users].copy(), every[n_users:].copy()
    tracks[unheard] = 0
    return tracks, users
