"""Every parameter of a run in one frozen tree.

For where values come from (presets, TOML files, single settings), see
:mod:`gpu_coldstart.config.resolve`.
"""

from __future__ import annotations

import dataclasses
from copy import copy
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)

from gpu_coldstart import registry
from gpu_coldstart.config.base import (
    MOST,
    Choices,
    Count,
    Distinct,
    Natural,
    Parameters,
    Searched,
    one_of,
)
from gpu_coldstart.config.competitors import (
    AldiConfig,
    ClcRecConfig,
    DropoutNetConfig,
    GarConfig,
    HeaterConfig,
    MeluConfig,
)
from gpu_coldstart.config.components import (
    AlsFoldInConfig,
    BestConfig,
    InputFeaturesConfig,
    ItemItemConfig,
    MixtureConfig,
    MlpConfig,
    NeighboursConfig,
    RegistrationDayConfig,
    RidgeConfig,
    SoftConfig,
    StrategyName,
    TtSvdConfig,
    UtAlsConfig,
)
from gpu_coldstart.config.metric import CmlConfig, HlrConfig
from gpu_coldstart.config.streams import GateConfig, TrackSoftmaxConfig
from gpu_coldstart.config.tuning import TuningConfig
from gpu_coldstart.config.world import as_world
from gpu_coldstart.datasets.synthetic.world import World
from gpu_coldstart.registry import section

__all__ = [
    "PRESETS",
    "PROTOCOLS",
    "CarouselsConfig",
    "Config",
    "EvaluationConfig",
    "FeaturesConfig",
    "NewReleasesConfig",
    "SegmentsConfig",
    "SparkConfig",
    "SplitConfig",
    "StrategiesConfig",
    "flat",
    "strategy_fields",
]

PRESETS = ("tiny", "small", "paper")
PROTOCOLS = ("own", "paper", "release")


class SplitConfig(Parameters):
    """Who is warm and who is cold (4.1.2), where the tables do not say it themselves.

    Attributes
    ----------
    cold_share : float
        Share of the users with a full truth period who registered last, and so are cold.
    truth_days : int
        Days after the registration day whose streams are the ground truth.
    min_truth : int
        Distinct tracks a cold user must stream in those days to be measured; others become
        targets, who get lists and are not measured.
    warm_until : {"auto", "first-cold-day", "all"}
        Which events of warm users count: those up to the first cold registration day, so that
        nobody is served with knowledge of the future, or all. ``auto`` takes the first unless it
        would lose more than half of the events, and then says so in a warning.
    warm_users : int
        Learn from so many warm users, drawn at random, the same for every seed; 0 takes all.
    """

    cold_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    truth_days: Count = 30
    min_truth: Natural = 1
    warm_until: Literal["auto", "first-cold-day", "all"] = "auto"
    warm_users: Natural = 0


class SegmentsConfig(Parameters):
    """Segments of warm users and their popular tracks (3.1.3).

    Attributes
    ----------
    k : int
        Number of segments; 0 means one per 70 warm users (the paper's ratio), at most 1000.
    iterations : int
        Lloyd iterations.
    restarts : int
        Starts of k-means; the one with the least inertia is kept. Also of the input-features
        baseline. The release takes 10.
    seeding_points : int
        k-means++ picks its start from at most this many points per segment; 0 means all,
        as in the release. Also of the input-features baseline.
    popularity : {"members", "listens"}
        A track's popularity in a segment, and in the chart, is the share of the users who streamed
        it; or, as in the release, its share of what they streamed, each track once a user.
    popularity_days : int
        Count only streams of days 1 to this after registration, as the public release does; 0
        counts the whole history.
    """

    k: Annotated[Natural, Choices((0, 10, 20, 50, 100, 200, 500, 1000))] = 0
    iterations: Count = 20
    restarts: Annotated[Count, Searched(1, 5)] = 1
    seeding_points: Natural = 20
    popularity: Literal["members", "listens"] = "members"
    popularity_days: Natural = 0


class SparkConfig(Parameters):
    """Where things are learned when Spark counts the interactions.

    Attributes
    ----------
    spaces : {"driver", "executors"}
        Spaces, and segments with their popular tracks, are learned by the driver from the warm
        users that it holds (``split.warm_users``), or by Spark's executors from all warm users,
        whose histories the driver then never holds.
    """

    spaces: Literal["driver", "executors"] = "driver"


class NewReleasesConfig(Parameters):
    """Tracks without history, which no warm user streamed or liked (spaces/new_releases.py).

    Attributes
    ----------
    place : bool
        Give each the mean place of the tracks that share its album, else its artist, else its
        genre (or that sound like it), so that it can be recommended at once. Not unless asked
        for: most tracks without history may be old ones that nobody wants, and they would crowd
        the lists.
    sources : tuple of {"album", "artist", "genre", "sound"}
        Which of these to take, in this order. Sound needs the data's table of it.
    neighbours : int
        How many tracks, the nearest by sound, give a track its place.
    held_out : float
        Share of the tracks with history that the analysis places in the same way, to compare
        with the places that they have; 0 leaves that out.
    users : int
        Test users whose lists the analysis makes with these places, drawn at random where there
        are more; 0 is for all.
    """

    place: bool = False
    sources: Distinct[Literal["album", "artist", "genre", "sound"]] = ("album", "artist", "genre")
    neighbours: Count = 10
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.05
    users: Natural = 2500


def _ascending(ages: tuple[int, ...]) -> tuple[int, ...]:
    if list(ages) != sorted(ages):
        raise ValueError(f"is {list(ages)}: give ages in ascending order")
    return ages


class FeaturesConfig(Parameters):
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

    age_classes: Annotated[Distinct[Count], AfterValidator(_ascending)] = (18, 25, 35, 50, 65)
    pooling: Annotated[Literal["events", "distinct"], Choices(("events", "distinct"))] = "events"
    scalars: Annotated[Literal["raw", "standard"], Choices(("raw", "standard"))] = "standard"


SpaceName = Annotated[str, AfterValidator(lambda name: one_of(name, registry.SPACES.names()))]


def strategy_fields(name: str, parameters: type[Parameters]) -> dict[str, Any]:
    """A strategy's parameters as fields of the section ``strategies``, by their keys there."""
    return {
        f"{section(name)}_{parameter}": (field.annotation, copy(field))
        for parameter, field in parameters.model_fields.items()
    }


class SharedStrategies(Parameters):
    """Settings of all strategies (3.2.4, 4.1.3).

    Attributes
    ----------
    names : tuple of str
        Which to run, in the order of the results table; Best and those of the paper unless given.
    similarity : {"cosine", "inner"}
        Between a user's and a track's embedding, wherever tracks are retrieved by embedding; in CML
        and HLR that is the distance, whatever is chosen here.
    exclude_seen : bool
        Do not recommend what the user streamed on registration day.
    """

    names: Distinct[StrategyName] = (
        *("best", "popularity", "registration-day", "input-features", "full", "semi", "soft"),
    )
    similarity: Literal["cosine", "inner"] = "cosine"
    exclude_seen: bool = False


_WithBuiltin: Any = create_model(
    "_WithBuiltin",
    __base__=SharedStrategies,
    **strategy_fields("registration-day", RegistrationDayConfig),
    **strategy_fields("input-features", InputFeaturesConfig),
    **strategy_fields("soft", SoftConfig),
    **strategy_fields("mixture", MixtureConfig),
    **strategy_fields("neighbours", NeighboursConfig),
    **strategy_fields("als-fold-in", AlsFoldInConfig),
    **strategy_fields("ridge", RidgeConfig),
    **strategy_fields("gate", GateConfig),
    **strategy_fields("track-softmax", TrackSoftmaxConfig),
    **strategy_fields("item-item", ItemItemConfig),
    **strategy_fields("dropoutnet-full", DropoutNetConfig),
    **strategy_fields("melu-full", MeluConfig),
    **strategy_fields("heater", HeaterConfig),
    **strategy_fields("clcrec", ClcRecConfig),
    **strategy_fields("gar", GarConfig),
    **strategy_fields("aldi", AldiConfig),
    **strategy_fields("best", BestConfig),
)


# The base is made at run time, out of the strategies' own parameters, so mypy cannot follow it.
class StrategiesConfig(_WithBuiltin):  # type: ignore[misc]
    """Ways to recommend: what they share, and as ``x_y_p`` the parameter ``p`` of ``x-y``."""


class CarouselsConfig(Parameters):
    """Ranked playlists for every test user, and when one counts as a success (4.2).

    Attributes
    ----------
    playlists : int
        Playlists in a carousel, 12 in the paper; 0 makes none.
    least_tracks : int
        Playlists of fewer distinct known tracks are never offered.
    streamed_tracks : int
        A playlist on display leads to a stream if the user goes on to stream the playlist itself,
        or this many distinct tracks of it.
    favorite_tracks : int
        It leads to a favourite if the user makes the playlist one, or this many of its tracks.
    """

    playlists: Natural = 12
    least_tracks: Count = 10
    streamed_tracks: Count = 3
    favorite_tracks: Count = 1


class EvaluationConfig(Parameters):
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
        Also compare the strategies, and analyse whom they serve well and what they recommend:
        the tables in ``tables/``.
    figures : bool
        Also draw what there is to draw, into ``figures/`` and ``report.html``.
    """

    protocol: Literal["own", "paper", "release"] = "own"
    k: Distinct[Count] = (50,)
    deviation: Literal["disjoint", "repeated"] = "disjoint"
    folds: Annotated[int, Field(ge=2, le=MOST)] = 10
    bootstrap: Count = 1000
    analysis: bool = True
    figures: bool = True


class Config(Parameters):
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
    spaces : tuple of {"tt-svd", "ut-als", "cml", "hlr"}
    model : str
        The network, ``"mlp"`` or one that an installed package adds.
    """

    dataset: Annotated[
        str, AfterValidator(lambda name: one_of(name, registry.DATASETS.names()))
    ] = "synthetic"
    data: str = ""
    preset: Literal["tiny", "small", "paper"] = "small"
    seed: Natural = 0
    spaces: Distinct[SpaceName] = registry.BOTH
    model: Annotated[str, AfterValidator(lambda name: one_of(name, registry.MODELS.names()))] = (
        "mlp"
    )
    world: Annotated[
        World,
        PlainValidator(as_world),
        PlainSerializer(dataclasses.asdict),
        WithJsonSchema(TypeAdapter(World).json_schema()),
    ] = World()
    split: SplitConfig = SplitConfig()
    spark: SparkConfig = SparkConfig()
    ut_als: UtAlsConfig = UtAlsConfig()
    tt_svd: TtSvdConfig = TtSvdConfig()
    cml: CmlConfig = CmlConfig()
    hlr: HlrConfig = HlrConfig()
    new_releases: NewReleasesConfig = NewReleasesConfig()
    segments: SegmentsConfig = SegmentsConfig()
    features: FeaturesConfig = FeaturesConfig()
    mlp: MlpConfig = MlpConfig()
    strategies: StrategiesConfig = StrategiesConfig()
    carousels: CarouselsConfig = CarouselsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tuning: TuningConfig = TuningConfig()

    def of(self, part: str) -> Any:
        """Parameters of a space or model: ``config.of("tt-svd")`` is ``config.tt_svd``."""
        return getattr(self, section(part))


def flat(config: Config) -> dict[str, Any]:
    """All values by dotted key, in the tree's order.

    Examples
    --------
    >>> flat(Config())["segments.iterations"]
    20
    """
    values: dict[str, Any] = {}
    for name, value in config:
        if isinstance(value, Parameters):
            values |= {f"{name}.{leaf}": inner for leaf, inner in value}
        elif isinstance(value, World):
            values |= {f"{name}.{leaf}": inner for leaf, inner in dataclasses.asdict(value).items()}
        else:
            values[name] = value
    return values
