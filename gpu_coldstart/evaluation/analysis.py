"""The paper's whole evaluation, from what a run has saved to its tables.

Everything here happens on the host: :func:`facts_of` is the border, and embeddings, segments and
recommendations come from the run's files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load
from scipy import sparse

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.evaluation import tables
from gpu_coldstart.evaluation.calibration import calibration, cosines, heard
from gpu_coldstart.evaluation.comparisons import comparisons
from gpu_coldstart.evaluation.exposure import exposure, ranks_of
from gpu_coldstart.evaluation.groups import interaction_groups
from gpu_coldstart.evaluation.protocol import Row, Sample
from gpu_coldstart.evaluation.replay import Aftermath, replay
from gpu_coldstart.evaluation.segment_table import segment_table
from gpu_coldstart.evaluation.strata import groupings, strata
from gpu_coldstart.features import age_class_names, age_classes
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.carousels import ARMS

__all__ = ["Facts", "analyse", "facts_of"]

Read = Callable[[str], Mapping[str, bytes]]
"""From the name of a finished stage to its files."""


@dataclass(frozen=True)
class Facts:
    """What the tables need of the logs, on the host.

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
    after : Aftermath
        Of the test users.
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
    after: Aftermath

    def of(
        self, known: tuple[HostArray, tuple[str, ...]], cohort: str
    ) -> tuple[HostArray, tuple[str, ...]]:
        """``age`` or ``country`` of one cohort."""
        return known[0][self.cohorts[cohort]], known[1]


def facts_of(engine: Engine, logs: Logs, truth: GroundTruth, config: Config) -> Facts:
    """Bring what the tables need to the host."""
    host = engine.to_host

    def rows(matrix: Csr, start: int, stop: int) -> sparse.csr_array:
        indptr = host(matrix.indptr[start : stop + 1])
        indices = host(matrix.indices[int(indptr[0]) : int(indptr[-1])])
        shape = (stop - start, matrix.shape[1])
        return sparse.csr_array((np.ones(len(indices)), indices, indptr - indptr[0]), shape=shape)

    test = truth.n_validation, truth.n_validation + truth.n_test
    liked = rows(truth.favorites, *test)
    first_ages = config.features.age_classes
    return Facts(
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
        after=Aftermath(
            streams=rows(truth.tracks, *test),
            playlist_streams=rows(truth.playlists, *test),
            favorites=liked[:, : logs.n_tracks],
            playlist_favorites=liked[:, logs.playlists],
        ),
    )


def analyse(
    facts: Facts,
    config: Config,
    sample: Sample,
    rows: list[Row],
    *,
    read: Read,
    progress: Progress,
) -> dict[str, tables.Table]:
    """Make every table of :data:`gpu_coldstart.evaluation.tables.SCHEMAS`.

    Parameters
    ----------
    sample : Sample
        Every measure of every test user.
    rows : list of Row
        Its summary.
    read : callable
        Gives the files of a finished stage.
    """
    random = {"bootstrap": config.evaluation.bootstrap, "seed": config.seed}
    among = groupings(
        facts.signals[facts.cohorts["test"]],
        facts.of(facts.country, "test"),
        facts.of(facts.age, "test"),
    )
    makers: dict[str, Callable[[], Any]] = {
        "results": lambda: tables.results(rows),
        "comparisons": lambda: comparisons(sample),
        "strata": lambda: strata(sample, among, **random),
        "exposure": lambda: _exposure(facts, config, read),
        "segments": lambda: _segments(facts, config, read),
        "calibration": lambda: _calibration(facts, config, read, **random),
        "learning": lambda: _learning(config, read),
        "replay": lambda: _replay(facts, config, read, **random),
    }
    found = {}
    for done, (name, make) in enumerate(makers.items()):
        progress(done, len(makers), name)
        found[name] = tables.assemble(name, make())
    return found


def _exposure(facts: Facts, config: Config, read: Read) -> Iterator[dict[str, Any]]:
    """Figure 5, from the recommendations of every strategy."""
    country = facts.of(facts.country, "test")
    warm = facts.cohorts["warm"]
    for space in config.spaces:
        for strategy in config.strategies.names:
            content = read(f"{space}/{strategy}")[f"recommendations/{space}/{strategy}.parquet"]
            lists = pq.read_table(io.BytesIO(content), columns=["track_id", "cohort"])
            tracks = lists.filter(pc.field("cohort") == "test")["track_id"]
            ranks = ranks_of(tracks.to_numpy().reshape(len(country[0]), -1), facts.track_ids)
            head = {"space": space, "strategy": strategy, "k": ranks.shape[1]}
            for row in exposure(ranks, facts.popularity, warm.stop - warm.start, country):
                yield head | row


def _segments(facts: Facts, config: Config, read: Read) -> Iterator[dict[str, Any]]:
    """Table 2."""
    for space in config.spaces:
        place = f"artifacts/{space}/segments"
        saved = {**read(f"{space}/segments"), **read(f"{space}/descriptions")}
        arrays = load(saved[f"{place}.safetensors"])
        parts = tuple(arrays[f"shares.{part}"] for part in ("data", "indices", "indptr"))
        shape = (len(arrays["centroids"]), len(facts.track_ids))
        described = pq.read_table(io.BytesIO(saved[f"{place}.parquet"])).to_pydict()
        for row in segment_table(
            described,
            sparse.csr_array(parts, shape=shape),
            facts.track_ids,
            facts.playlists,
            facts.playlist_ids,
            least_tracks=config.carousels.least_tracks,
        ):
            yield {"space": space} | row


def _calibration(
    facts: Facts, config: Config, read: Read, *, bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Predictions of warm and validation users against where they should land."""
    found: dict[str, dict[str, HostArray]] = {"warm": {}, "validation": {}}
    for space in config.spaces:
        truth = load(read(f"{space}/space")[f"artifacts/{space}/space.safetensors"])
        saved = {**read(f"{space}/predictions"), **read(f"{space}/predictions.warm")}
        warm, cold = (
            load(saved[f"artifacts/{space}/predictions{of}.safetensors"])["embeddings"]
            for of in (".warm", "")
        )
        wanted = heard(facts.truth, truth["tracks"])
        found["warm"][space] = cosines(warm, truth["users"])
        found["validation"][space] = cosines(cold[: len(wanted)], wanted)
    rows = []
    for cohort, by_space in found.items():
        groups = interaction_groups(facts.signals[facts.cohorts[cohort]])
        rows += calibration(cohort, by_space, groups, bootstrap=bootstrap, seed=seed)
    return rows


def _learning(config: Config, read: Read) -> Iterator[dict[str, Any]]:
    """The network's curve."""
    for space in config.spaces:
        curve = json.loads(read(f"{space}/network")[f"artifacts/{space}/network.json"])
        pairs = zip(curve["train_loss"], curve["validation_cosine"], strict=True)
        for epoch, (loss, cosine) in enumerate(pairs, start=1):
            yield {
                "space": space,
                "epoch": epoch,
                "train_loss": loss,
                "validation_cosine": cosine,
                "kept": epoch == curve["best_epoch"],
            }


def _replay(
    facts: Facts, config: Config, read: Read, *, bootstrap: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Figure 7, from the carousels; nothing where there are none."""
    for space in config.spaces if config.carousels.playlists else ():
        saved = read(f"{space}/carousels")
        if not saved:
            continue
        shown = {}
        for arm in ARMS:
            content = saved[f"recommendations/{space}/carousel-{arm}.parquet"]
            lists = pq.read_table(io.BytesIO(content), columns=["playlist_id", "cohort"])
            ids = lists.filter(pc.field("cohort") == "test")["playlist_id"]
            places = np.searchsorted(facts.playlist_ids, ids.to_numpy())
            shown[arm] = places.reshape(len(facts.test_ids), -1)
        for row in replay(
            shown,
            facts.test_ids,
            facts.playlists,
            facts.after,
            config.carousels,
            bootstrap=bootstrap,
            seed=seed,
        ):
            yield {"space": space} | row
