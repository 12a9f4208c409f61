"""How well a model tells artists apart whom it has not learned from, and how well others do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from gpu_coldstart.artists.clustering import clusters, divided
from gpu_coldstart.artists.measures import (
    adjusted_mutual_information,
    adjusted_rand_index,
    equal_error_rate,
)
from gpu_coldstart.artists.model import ArtistModel, Tracks
from gpu_coldstart.engine.base import Engine, HostArray

__all__ = ["Quality", "evaluate"]

_MOST = 3000
"""Tracks whose pairs are verified: 4.5 million pairs."""


@dataclass(frozen=True)
class Quality:
    """What one way to tell artists apart is worth.

    Attributes
    ----------
    way : str
    ari, ami : float
        Adjusted Rand index and adjusted mutual information, mean over the groups of several
        artists; nan where there are none.
    divided : float
        The adjusted Rand index where it is known how many artists there are.
    whole : float
        Share of the groups of one artist that stay in one cluster; nan where there are none.
    eer : float
        Equal error rate over the pairs of all tracks; nan where no distance is known.
    """

    way: str
    ari: float
    ami: float
    divided: float
    whole: float
    eer: float


def evaluate(
    engine: Engine, model: ArtistModel, tracks: Tracks, groups: Sequence[HostArray], least: int = 1
) -> Iterator[Quality]:
    """The network, the baseline by the mean of MFCC, and one cluster of everything.

    Parameters
    ----------
    tracks : Tracks
        Of artists that the model has not learned from.
    groups : sequence of HostArray of int64
        Numbers of tracks, each as if of one artist.
    least : int
        As :func:`gpu_coldstart.artists.clustering.clusters` takes it.
    """
    some = np.random.default_rng(0).permutation(len(tracks.artists))[:_MOST]
    same = pdist(tracks.artists[some, None].astype(float)) == 0
    ways = (
        ("network", model.place(engine, tracks.heard), model.threshold),
        ("mean MFCC", model.baseline.place(tracks.heard), model.baseline.threshold),
    )
    truths = [tracks.artists[group] for group in groups]
    counts = [len(np.unique(truth)) for truth in truths]
    for way, places, threshold in ways:
        found = [clusters(places[group], threshold, least) for group in groups]
        parts = [divided(places[group], n) for group, n in zip(groups, counts, strict=True)]
        eer = equal_error_rate(pdist(places[some]), same) if 0 < same.sum() < len(same) else np.nan
        yield _quality(way, truths, found, parts, eer)
    one = [np.zeros_like(truth) for truth in truths]
    yield _quality("one cluster", truths, one, one, np.nan)


def _quality(
    way: str,
    truths: Sequence[HostArray],
    found: Sequence[HostArray],
    parts: Sequence[HostArray],
    eer: float,
) -> Quality:
    several = [place for place, truth in enumerate(truths) if len(np.unique(truth)) > 1]
    alone = [float(found[place].max() == 0) for place in set(range(len(truths))) - set(several)]

    def mean(measure: Callable[[HostArray, HostArray], float], made: Sequence[HostArray]) -> float:
        return _mean([measure(truths[place], made[place]) for place in several])

    return Quality(
        way,
        ari=mean(adjusted_rand_index, found),
        ami=mean(adjusted_mutual_information, found),
        divided=mean(adjusted_rand_index, parts),
        whole=_mean(alone),
        eer=eer,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan
