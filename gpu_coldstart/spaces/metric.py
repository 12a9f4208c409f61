"""What spaces learned from pairs of users and streamed tracks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    import torch

    from gpu_coldstart.models.negatives import Positives

__all__ = ["check_pairs", "pairs_of", "placed"]


def check_pairs(engine: Engine, history: Csr, label: str) -> None:
    """Refuse a history in which every warm user streamed every track that anybody did.

    Parameters
    ----------
    history : Csr [warm users, tracks]
    label : str
        Of the space, for the message.

    Raises
    ------
    UserError
    """
    xp = engine.xp
    heard = int((xp.bincount(history.indices, minlength=history.shape[1]) > 0).sum())
    if bool((xp.diff(history.indptr) == heard).all()):
        raise UserError(
            f"every warm user streamed every track that any of them did, so {label} has nothing to "
            "tell apart: give more interactions, or another space"
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
