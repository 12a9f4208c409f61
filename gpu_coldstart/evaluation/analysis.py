"""The paper's whole evaluation: from a run's data and results to its tables, on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from gpu_coldstart.config.parameters import CarouselsConfig, EvaluationConfig
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import one_blas_thread
from gpu_coldstart.evaluation import blends, tables
from gpu_coldstart.evaluation.calibration import calibration, cosines, heard
from gpu_coldstart.evaluation.comparisons import comparisons
from gpu_coldstart.evaluation.discovery import discovery
from gpu_coldstart.evaluation.exposure import exposure, ranks_of
from gpu_coldstart.evaluation.groups import interaction_groups
from gpu_coldstart.evaluation.measures import TEXTBOOK, hits_of, user_measures
from gpu_coldstart.evaluation.observed import Observed
from gpu_coldstart.evaluation.protocol import Place, Protocol, Row, Sample, Summary, best_of
from gpu_coldstart.evaluation.replay import replay
from gpu_coldstart.evaluation.segment_quality import segment_quality
from gpu_coldstart.evaluation.segment_table import segment_table
from gpu_coldstart.evaluation.sizes import sizes
from gpu_coldstart.evaluation.strata import groupings, strata
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.blending import Blending
from gpu_coldstart.strategies.carousels import explanations

__all__ = ["Curve", "RunResults", "SpaceResults", "analyse"]


@dataclass(frozen=True)
class Curve:
    """Learning curve of a network.

    Attributes
    ----------
    train_loss, validation_cosine : sequence of float
        After each epoch.
    best_epoch : int
        The epoch that was kept, from 1.
    """

    train_loss: Sequence[float]
    validation_cosine: Sequence[float]
    best_epoch: int


@dataclass(frozen=True)
class SpaceResults:
    """What a run made in one embedding space, on the host.

    Attributes
    ----------
    users : HostArray [warm users, d] of float32
    tracks : HostArray [tracks, d] of float32
    predictions : mapping of ``warm`` and ``validation`` to HostArray [users, d] of float32
        Where the network puts the users.
    curve : Curve
    strategy_curves : mapping of strategy to sequence of float
        The ``curve`` of a strategy's state, where it has one: the validation users' NDCG after
        each of its epochs or trials, the first best of which was kept.
    blendings : mapping of strategy to Blending
        Of those made of others.
    segments : mapping of column to values
        As :func:`gpu_coldstart.segments.describe` has them.
    nearest : HostArray [test users] of int32
        The segment nearest to where the network puts each.
    shares : csr_array [segments, tracks] of float32
        Share of a segment's members who streamed the track.
    lists : mapping of strategy to HostArray [test users, K] of int64
        Ids of the recommended tracks, best first.
    examples : sequence of rows
        Of the table ``examples``.
    new_releases : sequence of rows
        As :func:`gpu_coldstart.evaluation.new_releases.new_releases` has them.
    carousels : mapping of arm to HostArray [test users, L] of int64
        Ids of the playlists on display; empty where there are none. The other arms are compared
        with the first.
    """

    users: HostArray
    tracks: HostArray
    predictions: Mapping[str, HostArray]
    curve: Curve
    strategy_curves: Mapping[str, Sequence[float]]
    blendings: Mapping[str, Blending]
    segments: Mapping[str, Sequence[Any]]
    nearest: HostArray
    shares: sparse.csr_array
    lists: Mapping[str, HostArray]
    examples: Sequence[dict[str, Any]]
    new_releases: Sequence[dict[str, Any]]
    carousels: Mapping[str, HostArray]


@dataclass(frozen=True)
class RunResults:
    """What a run made and how it was measured.

    Attributes
    ----------
    spaces : mapping of space to SpaceResults
    protocol : Protocol
        Parts and resamples of the test users.
    sample : Sample
        The paper's measures of every test user.
    rows : sequence of Row
        Its summary.
    """

    spaces: Mapping[str, SpaceResults]
    protocol: Protocol
    sample: Sample
    rows: Sequence[Row]


def analyse(
    observed: Observed,
    results: RunResults,
    evaluation: EvaluationConfig,
    carousels: CarouselsConfig,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, tables.Table]:
    """Make every table of :data:`gpu_coldstart.evaluation.tables.SCHEMAS`.

    Parameters
    ----------
    observed : Observed
    results : RunResults
    evaluation : EvaluationConfig
        ``k`` and ``bootstrap``.
    carousels : CarouselsConfig
        What counts as a success in the replay, and the shortest playlist that is named.
    seed : int
    progress : callable
        Called with the number of tables made, their total, and the name of the next.
    """
    random = {"bootstrap": evaluation.bootstrap, "seed": seed}
    among = groupings(
        observed.signals[observed.cohorts["test"]],
        observed.of(observed.country, "test"),
        observed.of(observed.age, "test"),
    )
    spaces = results.spaces
    ranks = {
        (space, strategy): ranks_of(lists, observed.track_ids)
        for space, made in spaces.items()
        for strategy, lists in made.lists.items()
    }
    makers: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "results": lambda: tables.results(
            results.rows, _textbook(observed, results.protocol, ranks, evaluation.k)
        ),
        "sizes": lambda: sizes(observed),
        "comparisons": lambda: comparisons(results.sample),
        "strata": lambda: strata(results.sample, among, **random),
        "examples": lambda: spaces[best_of(results.rows).space].examples,
        "exposure": lambda: _exposure(observed, ranks),
        "discovery": lambda: _blended(spaces, partial(_discovery, observed)),
        "segments": lambda: _segments(observed, spaces, carousels.least_tracks),
        "segment-quality": lambda: segment_quality(
            results.sample,
            {space: made.nearest for space, made in spaces.items()},
            {space: explanations(made.segments) for space, made in spaces.items()},
        ),
        "calibration": lambda: _calibration(observed, spaces, **random),
        "learning": lambda: _learning(spaces),
        "experts": lambda: _blended(spaces, blends.experts),
        "blends": lambda: _blended(spaces, blends.taught),
        "weights": lambda: _blended(spaces, blends.weights),
        "new-releases": lambda: (
            {"space": space} | row for space, made in spaces.items() for row in made.new_releases
        ),
        "replay": lambda: _replay(observed, spaces, carousels, **random),
    }
    made = {}
    with one_blas_thread():
        for done, (name, make) in enumerate(makers.items()):
            progress(done, len(makers), name)
            made[name] = tables.assemble(name, make())
    return made


def _textbook(
    observed: Observed,
    protocol: Protocol,
    ranks: Mapping[tuple[str, str], HostArray],
    ks: Sequence[int],
) -> Iterator[tuple[Place, Summary]]:
    """The textbook's measures, over the same parts and resamples as the paper's."""
    truth = observed.followup.streams
    sizes = np.diff(truth.indptr)
    measures = {}
    for of, ranked in ranks.items():
        hits = hits_of(ranked - 1, truth)
        by_k = [user_measures(hits, sizes, k) for k in ks]
        measures[of] = np.array([[each[name] for name in TEXTBOOK] for each in by_k])
    sample = protocol.sample(measures, ks, TEXTBOOK)
    return zip(sample.places, protocol.summaries(sample), strict=True)


def _exposure(
    observed: Observed, ranks: Mapping[tuple[str, str], HostArray]
) -> Iterator[dict[str, Any]]:
    """Figure 5, from the recommendations of every strategy."""
    country = observed.of(observed.country, "test")
    warm = observed.cohorts["warm"]
    for (space, strategy), ranked in ranks.items():
        head = {"space": space, "strategy": strategy, "k": ranked.shape[1]}
        for row in exposure(ranked, observed.popularity, warm.stop - warm.start, country):
            yield head | row


def _discovery(observed: Observed, blending: Blending) -> Iterator[dict[str, Any]]:
    """The trade-off of a strategy that has a dial, on validation users."""
    warm = observed.cohorts["warm"]
    country = observed.of(observed.country, "validation")
    return discovery(blending.trade_off, observed.popularity, warm.stop - warm.start, country)


def _blended(
    spaces: Mapping[str, SpaceResults], rows: Callable[[Blending], Iterator[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Rows about every strategy that is made of others."""
    for space, made in spaces.items():
        for strategy, blending in made.blendings.items():
            for row in rows(blending):
                yield {"space": space, "strategy": strategy} | row


def _segments(
    observed: Observed, spaces: Mapping[str, SpaceResults], least_tracks: int
) -> Iterator[dict[str, Any]]:
    """Table 2."""
    for space, made in spaces.items():
        for row in segment_table(
            made.segments,
            made.shares,
            observed.track_ids,
            observed.playlists,
            observed.playlist_ids,
            least_tracks=least_tracks,
        ):
            named: dict[str, Any] = {}
            for kind in ("track", "playlist"):
                ids = np.asarray(row[f"{kind}_ids"], np.int64)
                named[f"{kind}_ids"] = observed.ids.names(kind, ids).to_pylist()
                named[f"{kind}_titles"] = getattr(observed.titles, kind).take(ids).to_pylist()
            yield {"space": space} | row | named


def _calibration(
    observed: Observed, spaces: Mapping[str, SpaceResults], *, bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Predictions of warm and validation users against where they should land."""
    by_cohort: dict[str, dict[str, HostArray]] = {"warm": {}, "validation": {}}
    for space, made in spaces.items():
        targets = {"warm": made.users, "validation": heard(observed.truth, made.tracks)}
        for cohort, target in targets.items():
            by_cohort[cohort][space] = cosines(made.predictions[cohort], target)
    rows = []
    for cohort, by_space in by_cohort.items():
        groups = interaction_groups(observed.signals[observed.cohorts[cohort]]).folded()
        rows += calibration(cohort, by_space, groups, bootstrap=bootstrap, seed=seed)
    return rows


def _learning(spaces: Mapping[str, SpaceResults]) -> Iterator[dict[str, Any]]:
    """The curves of the networks, then of what strategies learned of their own."""
    for space, made in spaces.items():
        pairs = zip(made.curve.train_loss, made.curve.validation_cosine, strict=True)
        for epoch, (loss, cosine) in enumerate(pairs, start=1):
            yield {
                "space": space,
                "trained": tables.NETWORK,
                "epoch": epoch,
                "train_loss": loss,
                "validation_cosine": cosine,
                "validation_ndcg": None,
                "kept": epoch == made.curve.best_epoch,
            }
        for strategy, curve in made.strategy_curves.items():
            for epoch, ndcg in enumerate(curve, start=1):
                yield {
                    "space": space,
                    "trained": strategy,
                    "epoch": epoch,
                    "train_loss": None,
                    "validation_cosine": None,
                    "validation_ndcg": ndcg,
                    "kept": epoch == 1 + int(np.argmax(curve)),
                }


def _replay(
    observed: Observed,
    spaces: Mapping[str, SpaceResults],
    options: CarouselsConfig,
    *,
    bootstrap: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Figure 7, from the carousels; nothing where there are none."""
    names = observed.ids.names("user", observed.test_ids).to_numpy(zero_copy_only=False)
    for space, made in spaces.items():
        if not made.carousels:
            continue
        rows = replay(
            {
                arm: np.searchsorted(observed.playlist_ids, shown)
                for arm, shown in made.carousels.items()
            },
            names,
            observed.playlists,
            observed.followup,
            options,
            bootstrap=bootstrap,
            seed=seed,
        )
        yield from ({"space": space} | row for row in rows)
