"""The stages of a run, in the order of the paper's Section 3.

Each declares its inputs, the settings it reads and the files it leaves.
:mod:`gpu_coldstart.runs.pipeline` runs them; the longer ones are implemented in
:mod:`gpu_coldstart.runs.making`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gpu_coldstart import segments, spaces, strategies
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import Checkpoint, Network
from gpu_coldstart.registry import STRATEGIES, section
from gpu_coldstart.runs import making, paths
from gpu_coldstart.runs.artifacts import decode, encode
from gpu_coldstart.runs.examples import Sources, examples_stage
from gpu_coldstart.runs.learned import Learned
from gpu_coldstart.runs.making import TABLES, Predictions, Prepared, Recommendations, Tables
from gpu_coldstart.runs.settings import check_lists, check_settings
from gpu_coldstart.runs.stages import Codec, Given, Stage

__all__ = ["Flow"]

T = TypeVar("T")


class Flow:
    """Declares the stages of a configuration on a data set.

    Parameters
    ----------
    engine : Engine
    config : Config
    dataset : Dataset
    digests : mapping of name to SHA-256
        Of the data set's files.
    progress : callable
        Called with a stage's progress.
    checkpoint : callable
        From the name of a stage to the checkpoint for its state; None keeps none.
    tested : bool
        Whether lists are made for test users and measured, so that there must be some.
    after_epoch : callable
        Called with a strategy's name, the number of its epoch and :attr:`Past.score` after it.
    after_network_epoch : callable
        Called with the number of an epoch of a network and where the validation users then are.

    Attributes
    ----------
    data : Stage of Logs and GroundTruth
    learned : dict of space to Learned
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        dataset: Dataset,
        digests: Mapping[str, str],
        *,
        progress: spaces.Progress,
        checkpoint: Callable[[str], Checkpoint | None] = lambda stage: None,
        tested: bool = True,
        after_epoch: Callable[[str, int, float], None] = lambda name, epoch, ndcg: None,
        after_network_epoch: Callable[[int, Array], None] = lambda epoch, places: None,
    ):
        self.engine = engine
        self.config = config
        self._dataset = dataset
        self._progress = progress
        self._checkpoint = checkpoint
        self._tested = tested
        self._after_epoch = after_epoch
        self._after_network_epoch = after_network_epoch
        self._keys = {key: (key, key.partition(".")[0]) for key in flat(config)}
        self.data = self._indexing(digests)
        self.learned = {name: self._learn(name) for name in config.spaces}

    def __iter__(self) -> Iterator[Stage[Any]]:
        """Every stage, each after its inputs."""
        yield self.data
        for learned in self.learned.values():
            yield from learned

    # -- what they read of the configuration ---------------------------------------------------

    def _section(self, *names: str) -> tuple[str, ...]:
        """The configuration keys of some sections, or single ones."""
        wanted = set(names)
        return tuple(key for key, called in self._keys.items() if not wanted.isdisjoint(called))

    def _of_network(self, name: str) -> tuple[str, ...]:
        model = section(self.config.model)
        unread = self.config.of(self.config.model).unread(name)
        return tuple(
            key
            for key in self._section(model, "model", "seed")
            if key not in {f"{model}.{parameter}" for parameter in unread}
        )

    def _of_strategy(self, name: str) -> tuple[str, ...]:
        """Parameters of a strategy and its experts: of ``x-y``, the keys ``strategies.x_y_p``."""
        return self._section(
            *(
                f"strategies.{section(each)}_{parameter}"
                for each in (*strategies.experts_of(name, self.config), name)
                for parameter in STRATEGIES.get(each).Parameters.model_fields
            )
        )

    # -- declarations --------------------------------------------------------------------------

    def _arrays(self, path: str, kind: type[T]) -> Codec[T]:
        """A value that is one dataclass of arrays."""
        return Codec(
            lambda given, value: {path: encode(self.engine, value)},
            lambda files: decode(self.engine, files[path], kind),
        )

    def _indexing(self, digests: Mapping[str, str]) -> Stage[tuple[Logs, GroundTruth]]:
        """The data, checked and indexed."""
        engine, config = self.engine, self.config

        def make(given: Given) -> tuple[Logs, GroundTruth]:
            del given
            logs, truth = self._dataset.index(engine, config, self._progress, tested=self._tested)
            check_settings(engine, config, self._dataset, logs)
            if self._tested:
                check_lists(engine, config, logs)
            return logs, truth

        return Stage(
            "logs",
            make,
            Codec(
                lambda given, made: {
                    paths.LOGS: encode(engine, made[0]),
                    paths.TRUTH: encode(engine, made[1]),
                },
                lambda files: (
                    decode(engine, files[paths.LOGS], Logs),
                    decode(engine, files[paths.TRUTH], GroundTruth),
                ),
            ),
            parameters=self._section(
                "dataset", "split", "segments.popularity_days", *self._dataset.parameters
            ),
            files=digests,
        )

    def _learn(self, name: str) -> Learned:
        """The stages of one space."""
        config = self.config
        space = self._embedding(name)
        cut = self._cutting(name, space)
        inputs = self._assembling(name, space)
        network = self._training(name, space, inputs)
        predictions = self._predicting(name, inputs, network, warm=False)
        prepared = self._preparing(name, space, cut, inputs=inputs, predictions=predictions)
        states: dict[str, Stage[Any]] = {}
        for way in strategies.with_experts(config):
            if STRATEGIES.get(way).State is not None:
                states[way] = self._fitting(name, way, prepared, states)
        ways, analysed = config.strategies.names, config.evaluation.analysis
        described = self._describing(name, cut)
        made = {way: self._recommending(name, way, prepared, states) for way in ways}
        return Learned(
            space,
            cut,
            described,
            inputs,
            network,
            predictions,
            self._predicting(name, inputs, network, warm=True) if analysed else None,
            prepared,
            states,
            made,
            examples_stage(
                self.engine,
                config,
                name,
                Sources(self.data, prepared, network, described, states, made),
            )
            if analysed
            else None,
            self._showing(name, prepared) if config.carousels.playlists else None,
        )

    def _embedding(self, name: str) -> Stage[spaces.Space]:
        """3.1.1 and 3.1.2, and places for tracks without history."""
        engine, config, data = self.engine, self.config, self.data
        stage = f"{name}/space"
        return Stage(
            stage,
            lambda given: making.embed(
                engine,
                config,
                self._dataset,
                name,
                logs=given[data][0],
                progress=self._progress,
                checkpoint=self._checkpoint(stage),
            ),
            self._arrays(paths.space(name), spaces.Space),
            (data,),
            self._section(
                section(name),
                "seed",
                "spark",
                *(f"new_releases.{key}" for key in ("place", "sources", "neighbours")),
            ),
        )

    def _cutting(self, name: str, space: Stage[spaces.Space]) -> Stage[segments.Segments]:
        """3.1.3."""
        engine, config, data = self.engine, self.config, self.data
        return Stage(
            f"{name}/segments",
            lambda given: self._dataset.segments(
                engine, given[data][0], given[space], config, self._progress
            ),
            self._arrays(paths.segments(name), segments.Segments),
            (data, space),
            self._section("segments", "seed", "spark"),
        )

    def _assembling(self, name: str, space: Stage[spaces.Space]) -> Stage[Inputs]:
        """3.2.2; cheaper to make than to keep."""
        engine, config, data = self.engine, self.config, self.data
        return Stage(
            f"{name}/inputs",
            lambda given: self._dataset.inputs(engine, given[data][0], given[space], config),
            inputs=(data, space),
            parameters=self._section("features"),
        )

    def _training(
        self, name: str, space: Stage[spaces.Space], inputs: Stage[Inputs]
    ) -> Stage[Network]:
        """3.2.3."""
        engine, config, data = self.engine, self.config, self.data
        stage = f"{name}/network"
        return Stage(
            stage,
            lambda given: making.train_network(
                engine,
                *given[data],
                space=given[space],
                inputs=given[inputs],
                config=config,
                progress=self._progress,
                checkpoint=self._checkpoint(stage),
                after_epoch=self._after_network_epoch,
            ),
            making.network_codec(engine, config, name),
            (data, space, inputs),
            self._of_network(name),
        )

    def _preparing(
        self,
        name: str,
        space: Stage[spaces.Space],
        cut: Stage[segments.Segments],
        *,
        inputs: Stage[Inputs],
        predictions: Stage[Predictions],
    ) -> Stage[Prepared]:
        """What strategies work with, gathered."""
        data = self.data
        return Stage(
            f"{name}/prepared",
            lambda given: making.prepare(
                self.engine,
                self.config,
                logs=given[data][0],
                truth=given[data][1],
                space=given[space],
                cut=given[cut],
                inputs=given[inputs],
                predicted=given[predictions],
            ),
            inputs=(data, space, cut, inputs, predictions),
            parameters=self._section("segments", "strategies.similarity", "seed"),
        )

    def _describing(self, name: str, cut: Stage[segments.Segments]) -> Stage[Tables]:
        """What is known of the segments, for people."""

        def make(given: Given) -> Tables:
            engine, logs, cut_up = self.engine, given[self.data][0], given[cut]
            ages, depth = self.config.features.age_classes, max(self.config.evaluation.k)
            popular = segments.favourites(engine, logs.track_ids, cut_up.shares, depth)
            return {
                paths.descriptions(name): segments.describe(engine, logs, cut_up, ages),
                paths.favourites(name): popular
                | {"track_id": logs.ids.names("track", popular["track_id"])}
                | logs.titles.of_tracks(popular["track_id"]),
            }

        return Stage(
            f"{name}/descriptions",
            make,
            TABLES,
            (self.data, cut),
            self._section("features.age_classes", "evaluation.k"),
        )

    def _predicting(
        self, name: str, inputs: Stage[Inputs], network: Stage[Network], *, warm: bool
    ) -> Stage[Predictions]:
        data = self.data
        return Stage(
            f"{name}/predictions{'.warm' if warm else ''}",
            lambda given: making.predictions(
                self.engine, given[data][0], given[inputs], given[network], warm=warm
            ),
            self._arrays(paths.predictions(name, warm=warm), Predictions),
            (data, inputs, network),
        )

    def _fitting(
        self, space: str, name: str, prepared: Stage[Prepared], states: Mapping[str, Stage[Any]]
    ) -> Stage[Any]:
        """What a strategy learns of its own, given the states of those that it is made of."""
        kind, config = STRATEGIES.get(name), self.config
        parameters = strategies.parameters_of(name, config)
        experts = strategies.experts_of(name, config)
        learned = {each: states[each] for each in experts if each in states}

        def make(given: Given) -> Any:
            known, context = given[prepared], given[prepared].context
            fitted = {each: given[stage] for each, stage in learned.items()}
            made = {each: strategies.made(each, config, context, fitted) for each in experts}
            past = replace(known.past, experts=made, after_epoch=partial(self._after_epoch, name))
            return kind.fit(context, parameters, past, self._progress)

        return Stage(
            f"{space}/{name}.state",
            make,
            self._arrays(paths.state(space, name), kind.State),
            (prepared, *learned.values()),
            tuple(key for key in self._of_strategy(name) if key not in kind.unlearned),
        )

    def _recommending(
        self, space: str, name: str, prepared: Stage[Prepared], states: Mapping[str, Stage[Any]]
    ) -> Stage[Recommendations]:
        """3.2.4 for the test and target users, and how good it is for the test users."""
        parts = (*strategies.experts_of(name, self.config), name)
        learned = {each: states[each] for each in parts if each in states}
        return Stage(
            f"{space}/{name}",
            lambda given: making.recommend(
                self.config,
                name,
                given[prepared],
                given[self.data][1],
                states={each: given[stage] for each, stage in learned.items()},
                progress=self._progress,
            ),
            making.recommendations_codec(space, name),
            (self.data, prepared, *learned.values()),
            self._section("evaluation.k", "strategies.exclude_seen") + self._of_strategy(name),
        )

    def _showing(self, name: str, prepared: Stage[Prepared]) -> Stage[Tables]:
        """4.2.1 for the test and target users; no files where there are no playlists to show."""
        return Stage(
            f"{name}/carousels",
            lambda given: {
                paths.carousel(name, arm): columns
                for arm, columns in making.show(self.config, given[prepared]).items()
            },
            TABLES,
            (prepared,),
            self._section("carousels.playlists", "carousels.least_tracks", "features.age_classes"),
        )
