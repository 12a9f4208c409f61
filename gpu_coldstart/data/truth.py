"""The future of the users a run is measured on, apart from everything that may be known."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_coldstart.engine.base import Array, Csr, Engine

__all__ = ["GroundTruth"]


@dataclass(frozen=True)
class GroundTruth:
    """What validation and test users did on the days after registration (4.1.2).

    Only early stopping, tuning (both with :meth:`of` the validation users) and the evaluation get
    to see it. Rows are validation users, then test users, in the order of
    :class:`~gpu_coldstart.data.logs.Logs`.

    Attributes
    ----------
    n_validation, n_test : int
    user_ids : Array [validation + test users] of int64
    tracks : Csr [validation + test users, tracks]
        Streams of each track on days 1 to ``split.truth_days``.
    favorites : Csr [validation + test users, entities]
        Events of the same days that made a track or a playlist a favourite.
    playlists : Csr [validation + test users, playlists]
        Streams, in the same days, of playlists as such.
    """

    n_validation: int
    n_test: int
    user_ids: Array
    tracks: Csr
    favorites: Csr
    playlists: Csr

    def of(self, engine: Engine, cohort: str) -> Csr:
        """Streamed tracks of the ``"validation"`` or the ``"test"`` users [users, tracks]."""
        start, stop = {
            "validation": (0, self.n_validation),
            "test": (self.n_validation, self.n_validation + self.n_test),
        }[cohort]
        return engine.take_rows(self.tracks, engine.xp.arange(start, stop))
