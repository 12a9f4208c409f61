"""Every knob of a run in one frozen tree.

How values get in (presets, TOML files, single settings) is :mod:`gpu_coldstart.config.resolve`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from gpu_coldstart.datasets.synthetic.world import World

__all__ = [
    "DATASETS",
    "PRESETS",
    "PROTOCOLS",
    "SPACES",
    "STRATEGIES",
    "Carousels",
    "Config",
    "Evaluation",
    "Features",
    "Mlp",
    "Segments",
    "Split",
    "Strategies",
    "TtSvd",
    "UtAls",
    "differing_keys",
    "flat",
]

DATASETS = ("synthetic", "events", "tafeng", "deezer")
SPACES = ("tt-svd", "ut-als")
PRESETS = ("tiny", "small", "paper")
PROTOCOLS = ("own", "paper", "release")
STRATEGIES = ("popularity", "registration-day", "input-features", "full", "semi", "soft")


@dataclass(frozen=True)
class Split:
    """Who is warm and who is cold (4.1.2), where the tables do not say it themselves.

    Attributes
    ----------
    cold_share : float
        Share of the users with a full truth period who registered last, and so are cold.
    truth_days : int
        Days after the registration day whose streams are the ground truth.
    min_truth : int
        Distinct tracks a cold user must stream in those days; others are left out and counted.
    warm_until : {"auto", "first-cold-day", "all"}
        Which events of warm users count: those up to the first cold registration day, so that
        nobody is served with knowledge of the future, or all. ``auto`` takes the first unless it
        would lose more than half of the events, and then says so in a warning.
    """

    cold_share: float = 0.2
    truth_days: int = 30
    min_truth: int = 1
    warm_until: str = "auto"


@dataclass(frozen=True)
class UtAls:
    """The UT-ALS space (3.1.1): affinities of users and tracks, factorised by weighted ALS.

    Attributes
    ----------
    factors : int
        Dimension d; 256 in the paper.
    iterations, cg_steps : int
        Alternations, and conjugate-gradient steps for each row in each of them.
    regularization : float
        The l of the objective.
    confidence : float
        Confidence of a cell is ``1 + confidence * affinity``.
    stream_weight : float
        Affinity gained by streaming a track n times: ``stream_weight * log(1 + n)``. The
        logarithm keeps one song on repeat from outweighing a taste.
    favorite_track_weight, favorite_album_weight, favorite_artist_weight : float
        Affinity a track gains when the user makes it, its album or its artist a favourite. The
        wider the favourite, the less it says about one track.
    """

    factors: int = 256
    iterations: int = 15
    regularization: float = 10.0
    confidence: float = 10.0
    cg_steps: int = 3
    stream_weight: float = 1.0
    favorite_track_weight: float = 2.0
    favorite_album_weight: float = 0.5
    favorite_artist_weight: float = 0.2


@dataclass(frozen=True)
class TtSvd:
    """The TT-SVD space (3.1.2): PMI of tracks in collections, factorised by truncated SVD.

    Attributes
    ----------
    dimension : int
        Dimension d; 128 in the paper.
    shift : float
        Negative samples k of the shifted PMI; 1 is no shift.
    smoothing : float
        Exponent on the context counts; 1 is none, word2vec's 0.75 lifts rare tracks less.
    exponent : float
        Track vectors are ``U * S**exponent`` before they are made unit.
    min_count : int
        Pairs of tracks together in fewer collections are left out; at the paper's
        size those seen once are most of the pairs, and without them the SVD is much cheaper.
    max_tracks : int
        A longer collection contributes only this many of its tracks, the most played first: pairs
        grow with the square of the length.
    oversamples, power_iterations : int
        Accuracy of the randomised SVD.
    history : {"distinct", "streams"}
        A warm user is the mean of the tracks they streamed, each once or as often as streamed.
    """

    dimension: int = 128
    shift: float = 1.0
    smoothing: float = 1.0
    exponent: float = 0.5
    min_count: int = 2
    max_tracks: int = 100
    oversamples: int = 30
    power_iterations: int = 2
    history: str = "distinct"


@dataclass(frozen=True)
class Segments:
    """Segments of warm users and their popular tracks (3.1.3).

    Attributes
    ----------
    k : int
        Number of segments; 0 is one for 70 warm users (the paper's ratio), at most 1000.
    iterations : int
        Lloyd iterations.
    restarts : int
        Starts of k-means, of which the one of least inertia is kept; also of the input-features
        baseline. The release takes 10.
    seeding_points : int
        k-means++ chooses a start among at most so many points for each segment; 0 is among all,
        as in the release. Also of the input-features baseline.
    popularity : {"members", "listens"}
        A track's popularity in a segment, and in the chart, is the share of the users who streamed
        it; or, as in the release, its share of what they streamed, each track once a user.
    popularity_days : int
        Count only streams of days 1 to this after registration, as the public release does; 0
        counts the whole history.
    """

    k: int = 0
    iterations: int = 20
    restarts: int = 1
    seeding_points: int = 20
    popularity: str = "members"
    popularity_days: int = 0


@dataclass(frozen=True)
class Features:
    """The input vector (3.2.2).

    Attributes
    ----------
    age_classes : tuple of int
        First age of each class after the youngest.
    pooling : {"events", "distinct"}
        A signal's block is the mean over its events, or over its distinct entities.
    scalars : {"raw", "standard"}
        The 19 scalars as they are, as in the public release; or logarithms of the counts, and
        all of them centred and scaled by the warm users' mean and deviation, a missing age
        being the mean.
    """

    age_classes: tuple[int, ...] = (18, 25, 35, 50, 65)
    pooling: str = "events"
    scalars: str = "standard"


@dataclass(frozen=True)
class Mlp:
    """The network from input vector to space, and its training (3.2.3).

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers; ReLU, then batch normalisation, after each.
    normalize_output : bool
        Scale predictions to unit length, as the targets are (the release does, the paper is
        silent).
    optimizer : {"adam", "sgd"}
        "Stochastic gradient descent" of the paper is Adam in its released code.
    learning_rate, momentum, weight_decay : float
        ``momentum`` is for ``sgd`` only.
    batch_size : int
    drop_last : bool
        Leave out the users of an epoch's last batch where it is not full, as the release does.
    epochs_tt_svd, epochs_ut_als : int
        At most so many passes over the warm users, in each space.
    patience : int
        Stop after so many epochs without a better validation cosine and keep the best epoch; 0
        never stops early and keeps the last.
    """

    hidden: tuple[int, ...] = (400, 300, 200)
    normalize_output: bool = True
    optimizer: str = "adam"
    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 512
    drop_last: bool = False
    epochs_tt_svd: int = 30
    epochs_ut_als: int = 30
    patience: int = 5


@dataclass(frozen=True)
class Strategies:
    """Ways to recommend (3.2.4, 4.1.3).

    Attributes
    ----------
    names : tuple of str
        Which to run, in the order of the results table.
    similarity : {"cosine", "inner"}
        Between a user's and a track's embedding, wherever tracks are retrieved by embedding.
    registration_day_fallback : {"popularity", "none"}
        What Registration Day Streams gives a user without a stream: the chart, as the paper
        states; or, as the release does, whatever comes first when every track scores 0.
    exclude_seen : bool
        Do not recommend what the user streamed on registration day.
    soft_segments : int
        Nearest segments among which soft allocation shares the list.
    soft_overshoot : int
        Places shared beyond the list's length, lost again to tracks several segments offer.
    input_features_k : int
        Segments of the input-features baseline.
    input_features_points : int
        It learns its segments from a sample of at most so many users for each; 0 is from all, as
        in the release, which holds the whole matrix of input vectors.
    """

    names: tuple[str, ...] = STRATEGIES
    similarity: str = "cosine"
    registration_day_fallback: str = "popularity"
    exclude_seen: bool = False
    soft_segments: int = 5
    soft_overshoot: int = 4
    input_features_k: int = 100
    input_features_points: int = 256


@dataclass(frozen=True)
class Carousels:
    """Ranked playlists for every test user, and when one counts as a success (4.2).

    Attributes
    ----------
    playlists : int
        Playlists in a carousel, 12 in the paper; 0 makes none.
    least_tracks : int
        Playlists of fewer distinct known tracks are not offered, to nobody and no segment.
    streamed_tracks : int
        A playlist on display leads to a stream if the user goes on to stream the playlist itself,
        or so many distinct tracks of it.
    favorite_tracks : int
        It leads to a favourite if the user makes the playlist itself one, or so many of its tracks.
    """

    playlists: int = 12
    least_tracks: int = 10
    streamed_tracks: int = 3
    favorite_tracks: int = 1


@dataclass(frozen=True)
class Evaluation:
    """Measures over the test users (4.1.1).

    Attributes
    ----------
    protocol : {"own", "paper", "release"}
        Whose choices the other values are by default: ours, those the paper states, or those of
        its released code; docs/conformance.md lists them. It changes nothing by itself.
    k : tuple of int
        Lengths of list at which everything is measured; the longest is recommended.
    deviation : {"disjoint", "repeated"}
        The "±": the standard deviation of means over ``folds`` disjoint random parts of the test
        users; or, as in the released code, over five parts of each of two random orders.
    folds : int
        Parts of ``disjoint``.
    bootstrap : int
        Resamples of the users behind the 95 % intervals.
    analysis : bool
        Also compare the strategies, and tell for whom they are good and what they recommend:
        the tables in ``tables/``.
    figures : bool
        Also draw what there is to draw, into ``figures/`` and ``report.html``.
    """

    protocol: str = "own"
    k: tuple[int, ...] = (50,)
    deviation: str = "disjoint"
    folds: int = 10
    bootstrap: int = 1000
    analysis: bool = True
    figures: bool = True


@dataclass(frozen=True)
class Config:
    """One run, completely: with the same engine it gives the same bytes.

    Attributes
    ----------
    dataset : {"synthetic", "events", "tafeng", "deezer"}
    data : str
        Directory of contract files, for ``events``, or of the public release, for ``deezer``.
    preset : {"tiny", "small", "paper"}
        Where the other values came from; it changes nothing by itself.
    seed : int
        Of the synthetic world and of every random choice in the method.
    spaces : tuple of {"tt-svd", "ut-als"}
    """

    dataset: str = "synthetic"
    data: str = ""
    preset: str = "small"
    seed: int = 0
    spaces: tuple[str, ...] = SPACES
    world: World = field(default_factory=World)
    split: Split = field(default_factory=Split)
    ut_als: UtAls = field(default_factory=UtAls)
    tt_svd: TtSvd = field(default_factory=TtSvd)
    segments: Segments = field(default_factory=Segments)
    features: Features = field(default_factory=Features)
    mlp: Mlp = field(default_factory=Mlp)
    strategies: Strategies = field(default_factory=Strategies)
    carousels: Carousels = field(default_factory=Carousels)
    evaluation: Evaluation = field(default_factory=Evaluation)


def flat(config: Config) -> dict[str, Any]:
    """All values by dotted key, in the tree's order.

    Examples
    --------
    >>> flat(Config())["segments.iterations"]
    20
    """
    values: dict[str, Any] = {}
    for name, value in ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config)):
        if dataclasses.is_dataclass(value):
            for leaf in dataclasses.fields(value):
                values[f"{name}.{leaf.name}"] = getattr(value, leaf.name)
        else:
            values[name] = value
    return values


def differing_keys(one: Config, other: Config) -> list[str]:
    """Dotted keys whose values differ."""
    mine, theirs = flat(one), flat(other)
    return [key for key in mine if mine[key] != theirs.get(key)]
