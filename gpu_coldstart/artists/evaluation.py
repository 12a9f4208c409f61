"""How well a model tells artists apart whom it has not learned from, and how well others do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from gpu_coldstart.artists.clustering import clusters
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
    whole : float
        Share of the groups of one artist that stay in one cluster; nan where there are none.
    eer : float
        Equal error rate over the pairs of all tracks; nan where no distance is known.
    """

    way: str
    ari: float
    ami: float
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
    for name, places, threshold in ways:
        found = [clusters(places[group], threshold, least) for group in groups]
        eer = equal_error_rate(pdist(places[some]), same) if 0 < same.sum() < len(same) else np.nan
        yield _quality(name, tracks.artists, groups, found, eer)
    one = [np.zeros(len(group), np.int64) for group in groups]
    yield _quality("one cluster", tracks.artists, groups, one, np.nan)


def _quality(
    way: str,
    artists: HostArray,
    groups: Sequence[HostArray],
    found: Sequence[HostArray],
    eer: float,
) -> Quality:
    pairs = [(artists[group], parts) for group, parts in zip(groups, found, strict=True)]
    several = [(truth, parts) for truth, parts in pairs if len(set(truth.tolist())) > 1]
    alone = [float(parts.max() == 0) for truth, parts in pairs if len(set(truth.tolist())) == 1]
    ari, ami = (
        [measure(*pair) for pair in several]
        for measure in (adjusted_rand_index, adjusted_mutual_information)
    )
    means = [float(np.mean(each)) if each else np.nan for each in (ari, ami, alone)]
    return Quality(way, means[0], means[1], means[2], eer)
