"""What spaces learned from pairs of users and streamed tracks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    import torch

    from gpu_coldstart.models.negatives import Positives

__all__ = ["check_pairs", "pairs_of", "placed"]


def check_pairs(engine: Engine, logs: Logs, label: str) -> None:
    """Refuse logs in which every warm user streamed every track that anybody did.

    Parameters
    ----------
    label : str
        Of the space, for the message.

    Raises
    ------
    UserError
    """
    xp = engine.xp
    heard = int((xp.bincount(logs.history.indices, minlength=logs.n_tracks) > 0).sum())
    if bool((xp.diff(logs.history.indptr) == heard).all()):
        raise UserError(
            f"every warm user streamed every track that any of them did, so {label} has nothing to "
            "tell apart: give more interactions, or another space"
        )


def pairs_of(engine: Engine, logs: Logs) -> Positives:
    """The pairs of warm users and tracks that they streamed."""
    from gpu_coldstart.models.negatives import Positives  # a saved model does without PyTorch

    history = logs.history
    indptr, tracks = (engine.to_torch(each).long() for each in (history.indptr, history.indices))
    return Positives(indptr, tracks, logs.n_tracks)


def placed(engine: Engine, logs: Logs, places: torch.Tensor) -> tuple[Array, Array]:
    """Tracks, a null row for each that nobody streamed, and users, of places of users then tracks.

    Parameters
    ----------
    places : Tensor [users + tracks, d] of float32

    Returns
    -------
    tracks : Array [tracks, d] of float32
    users : Array [warm users, d] of float32
    """
    every = engine.from_torch(places)
    unheard = engine.xp.bincount(logs.history.indices, minlength=logs.n_tracks) == 0
    users, tracks = every[: logs.n_warm].copy(), every[logs.n_warm :].copy()
    tracks[unheard] = 0
    return tracks, users
