"""What the evaluation's tables need of the logs and the truth, on the host."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.evaluation.replay import Followup
from gpu_coldstart.features import age_class_names, age_classes

__all__ = ["Observed", "observe"]


@dataclass(frozen=True)
class Observed:
    """What the tables need from the logs and the truth, on the host.

    Attributes
    ----------
    cohorts : dict of cohort to slice
        The places of ``warm``, ``validation`` and ``test`` users in the arrays below.
    signals : HostArray [users, 18] of float32
        Events of each signal on the registration day.
    age, country : (HostArray [users] of int32, names)
        Code of each user among the names, -1 where unknown.
    track_ids : HostArray [tracks] of int64
        Most popular first.
    popularity : HostArray [tracks] of int32
        Warm users who streamed the track.
    playlist_ids : HostArray [playlists] of int64
    playlists : csr_array [playlists, tracks] of ones
    truth : csr_array [validation users, tracks] of ones
        The tracks of the days after registration.
    test_ids : HostArray [test users] of int64
    followup : Followup
        Of the test users.
    titles : Titles
    ids : Ids
        What the int64 ids stand for.
    """

    cohorts: dict[str, slice]
    signals: HostArray
    age: tuple[HostArray, tuple[str, ...]]
    country: tuple[HostArray, tuple[str, ...]]
    track_ids: HostArray
    popularity: HostArray
    playlist_ids: HostArray
    playlists: sparse.csr_array
    truth: sparse.csr_array
    test_ids: HostArray
    followup: Followup
    ids: Ids = field(default_factory=Ids)
    titles: Titles = field(default_factory=Titles)

    def of(
        self, known: tuple[HostArray, tuple[str, ...]], cohort: str
    ) -> tuple[HostArray, tuple[str, ...]]:
        """``age`` or ``country`` of one cohort."""
        return known[0][self.cohorts[cohort]], known[1]


def observe(
    engine: Engine, logs: Logs, truth: GroundTruth, first_ages: tuple[int, ...]
) -> Observed:
    """Copy what the tables need to the host; ``first_ages`` are the age classes' lower bounds."""
    host = engine.to_host

    def rows(matrix: Csr, start: int, stop: int) -> sparse.csr_array:
        indptr = host(matrix.indptr[start : stop + 1])
        indices = host(matrix.indices[int(indptr[0]) : int(indptr[-1])])
        shape = (stop - start, matrix.shape[1])
        return sparse.csr_array((np.ones(len(indices)), indices, indptr - indptr[0]), shape=shape)

    test = truth.n_validation, truth.n_validation + truth.n_test
    liked = rows(truth.favorites, *test)
    return Observed(
        cohorts={cohort: logs.users(cohort) for cohort in ("warm", "validation", "test")},
        signals=host(logs.signals),
        age=(host(age_classes(engine, logs.age, first_ages)), age_class_names(first_ages)),
        country=(host(logs.country), logs.countries),
        track_ids=host(logs.track_ids),
        popularity=host(logs.popularity),
        playlist_ids=host(logs.playlist_ids),
        playlists=rows(logs.members, logs.playlists.start, logs.playlists.stop),
        truth=rows(truth.tracks, 0, truth.n_validation),
        test_ids=host(logs.user_ids[logs.users("test")]),
        followup=Followup(
            streams=rows(truth.tracks, *test),
            playlist_streams=rows(truth.playlists, *test),
            favorites=liked[:, : logs.n_tracks],
            playlist_favorites=liked[:, logs.playlists],
        ),
        ids=logs.ids,
        titles=logs.titles,
    )
