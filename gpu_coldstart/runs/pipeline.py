"""The stages of a run, in the order of the paper's Section 3; each reads and writes artifacts.

Every stage is a function from what came before to a value, and a way to turn that value into
files and back. A stage that an interrupted run has finished is read instead of done.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from safetensors.torch import save as save_weights

from gpu_coldstart import features, segments, spaces, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import logs
from gpu_coldstart.data.dataset import Study
from gpu_coldstart.engine.base import Array, Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.analysis import analyse, facts_of
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol, Row, Sample
from gpu_coldstart.evaluation.tables import Table, files_of, read_tables
from gpu_coldstart.models import Network, check_batches, predict, train
from gpu_coldstart.runs.artifacts import RunDirectory, decode, encode, parquet_bytes
from gpu_coldstart.runs.progress import Reporter, StageTime
from gpu_coldstart.strategies import carousels

__all__ = ["Outcome", "Pipeline"]

T = TypeVar("T")
_TIMES = "times.json"


@dataclass(frozen=True)
class Predictions:
    """Where the network puts some users: the cold ones [validation + test, d], or the warm."""

    embeddings: Array


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes
    ----------
    rows : list of Row
    logs : Logs
    notes : list of str
        What was left out, assumed or fallen back on, for the report.
    losses : dict of space to tuple of float
        The objective after each iteration, of the spaces fitted by iterations.
    tables : dict of name to table
        The evaluation (:data:`gpu_coldstart.evaluation.tables.SCHEMAS`); empty when left out.
    """

    rows: list[Row]
    logs: logs.Logs
    notes: list[str]
    losses: dict[str, tuple[float, ...]]
    tables: dict[str, Table]


class Pipeline:
    """Runs the stages of one configuration on one engine into one directory.

    Parameters
    ----------
    engine : Engine
    config : Config
    directory : RunDirectory
        Started or resumed.
    reporter : Reporter
    study : Study
        The data set.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        directory: RunDirectory,
        reporter: Reporter,
        study: Study,
    ):
        self.engine = engine
        self.config = config
        self.directory = directory
        self.reporter = reporter
        self._study = study
        self._earlier = self._read_times()

    def run(self) -> Outcome:
        """Run what is left to run."""
        config, reporter = self.config, self.reporter
        analysed = config.evaluation.analysis
        shown = config.carousels.playlists > 0
        of_a_space = 3 + len(config.strategies.names) + shown
        reporter.expect(2 + analysed + len(config.spaces) * of_a_space)
        indexed = self._logs()
        measures: dict[tuple[str, str], HostArray] = {}
        notes = [*indexed.notes, *carousels.notes(self.engine, indexed, config.carousels)]
        losses: dict[str, tuple[float, ...]] = {}
        for name in config.spaces:
            space = self._space(name, indexed)
            notes += space.notes
            if space.losses:
                losses[name] = space.losses
                told = " ".join(f"{loss:.5g}" for loss in space.losses)
                self.reporter.say(f"        loss after each iteration: {told}")
            situation = self._situation(indexed, space)
            for strategy in config.strategies.names:
                measures[name, strategy] = self._recommend(situation, strategy)
            if shown:
                self._carousels(situation)
        with reporter.stage("evaluation"):
            sample, rows = self._evaluate(measures)
        found = self._analysis(indexed, sample, rows) if analysed else {}
        self._save_times()
        return Outcome(rows, indexed, notes, losses, found)

    # -- stages --------------------------------------------------------------------------------

    def _logs(self) -> logs.Logs:
        """The data, checked and indexed."""

        def make() -> logs.Logs:
            indexed = self._study.logs(self.engine, self.config, self.reporter.step)
            self._check_lengths(indexed)
            return indexed

        return self._stage_of(logs.Logs, "logs", make)

    def _space(self, name: str, indexed: logs.Logs) -> spaces.Space:
        """3.1.1 and 3.1.2."""
        return self._stage_of(
            spaces.Space,
            f"{name}/space",
            lambda: self._study.space(name, self.engine, indexed, self.config, self.reporter.step),
        )

    def _situation(self, indexed: logs.Logs, space: spaces.Space) -> strategies.Situation:
        """3.1.3 to 3.2.3: segments, input vectors, network, predictions."""
        cut = self._segments(indexed, space)
        inputs = self._study.inputs(self.engine, indexed, space, self.config)
        predictions = self._network(indexed, space, inputs)
        return strategies.Situation(
            self.engine, indexed, self.config, space, cut, inputs, predictions
        )

    def _segments(self, indexed: logs.Logs, space: spaces.Space) -> segments.Segments:
        name = f"{space.name}/segments"

        def files(found: segments.Segments) -> dict[str, bytes]:
            described = segments.describe(self.engine, indexed, found, self.config)
            favourites = segments.favourites(
                self.engine, indexed, found, max(self.config.evaluation.k)
            )
            return {
                f"artifacts/{name}.safetensors": encode(self.engine, found),
                f"artifacts/{name}.parquet": parquet_bytes(described),
                f"artifacts/{name}.tracks.parquet": parquet_bytes(favourites),
            }

        return self._stage(
            name,
            lambda: segments.fit(self.engine, indexed, space, self.config),
            files,
            lambda saved: decode(
                self.engine, saved[f"artifacts/{name}.safetensors"], segments.Segments
            ),
        )

    def _network(self, indexed: logs.Logs, space: spaces.Space, inputs: features.Inputs) -> Array:
        """Train the network and predict the cold users; returns the predictions."""
        name, engine = f"{space.name}/network", self.engine

        def make() -> tuple[Network | None, dict[str, Predictions]]:
            network = self._train(indexed, space, inputs)
            users = engine.xp.arange(indexed.n_users)
            places = {"predictions": users[indexed.n_warm :]}
            if self.config.evaluation.analysis:
                places["predictions.warm"] = users[: indexed.n_warm]
            return network, {
                place: Predictions(predict(engine, inputs, network.model, those))
                for place, those in places.items()
            }

        def files(made: tuple[Network | None, dict[str, Predictions]]) -> dict[str, bytes]:
            network, predictions = made
            assert network is not None
            weights = {
                key: value.cpu().contiguous() for key, value in network.model.state_dict().items()
            }
            curve = {
                "train_loss": network.train_loss,
                "validation_cosine": network.validation_cosine,
                "best_epoch": network.best_epoch,
            }
            return {
                f"artifacts/{name}.safetensors": save_weights(weights),
                f"artifacts/{name}.json": (json.dumps(curve, indent=1) + "\n").encode(),
            } | {
                f"artifacts/{space.name}/{place}.safetensors": encode(engine, found)
                for place, found in predictions.items()
            }

        def load(saved: Mapping[str, bytes]) -> tuple[None, dict[str, Predictions]]:
            place = "predictions"
            content = saved[f"artifacts/{space.name}/{place}.safetensors"]
            return None, {place: decode(engine, content, Predictions)}

        return self._stage(name, make, files, load)[1]["predictions"].embeddings

    def _train(self, indexed: logs.Logs, space: spaces.Space, inputs: features.Inputs) -> Network:
        xp, engine, options = self.engine.xp, self.engine, self.config.mlp
        epochs = {"tt-svd": options.epochs_tt_svd, "ut-als": options.epochs_ut_als}[space.name]
        # Validation users have no place in the space; the mean of what they go on to stream is
        # the nearest thing to one.
        heard = engine.take_rows(indexed.truth, xp.arange(indexed.n_validation))
        targets = engine.pool(
            heard.with_data(xp.ones(heard.nnz, dtype=xp.float32)),
            spaces.unit_rows(space.tracks),
        )
        every = xp.arange(indexed.n_users)
        return train(
            engine,
            inputs,
            warm=(every[indexed.users("warm")], space.users),
            validation=(every[indexed.users("validation")], targets),
            options=options,
            epochs=epochs,
            seed=self.config.seed,
            progress=self.reporter.step,
        )

    def _recommend(self, situation: strategies.Situation, name: str) -> HostArray:
        """3.2.4 for the test users, and each user's measures [K, measure, users]."""
        engine, indexed, ks = self.engine, situation.logs, self.config.evaluation.k
        place = f"recommendations/{situation.space.name}/{name}.parquet"
        measured = f"artifacts/{situation.space.name}/{name}.measures.parquet"

        def make() -> tuple[strategies.Ranking | None, dict[str, HostArray]]:
            users = engine.xp.arange(indexed.n_users)[indexed.users("test")]
            ranking = strategies.recommend(
                strategies.STRATEGIES[name](situation),
                users,
                max(ks),
                lambda done: self.reporter.step(done, len(users), "users"),
            )
            truth = engine.take_rows(indexed.truth, users - indexed.n_warm)
            metrics = engine.rank_metrics(ranking.tracks, truth, ks)
            return ranking, {
                f"{measure}@{k}": engine.to_host(getattr(metrics, measure)[i])
                for i, k in enumerate(ks)
                for measure in MEASURES
            }

        def files(made: tuple[strategies.Ranking | None, dict[str, HostArray]]) -> dict[str, bytes]:
            ranking = made[0]
            assert ranking is not None
            users = engine.to_host(indexed.user_ids[indexed.users("test")])
            tracks = engine.to_host(indexed.track_ids[ranking.tracks])
            ranks = np.arange(1, max(ks) + 1, dtype=np.int32)
            return {
                place: parquet_bytes(
                    {
                        "user_id": np.repeat(users, max(ks)),
                        "rank": np.tile(ranks, len(users)),
                        "track_id": tracks.ravel(),
                        "score": engine.to_host(ranking.scores).ravel(),
                    }
                ),
                measured: parquet_bytes({"user_id": users, **made[1]}),
            }

        def load(saved: Mapping[str, bytes]) -> tuple[None, dict[str, HostArray]]:
            table = pq.read_table(io.BytesIO(saved[measured])).drop_columns("user_id")
            return None, {key: table.column(key).to_numpy() for key in table.column_names}

        values = self._stage(f"{situation.space.name}/{name}", make, files, load)[1]
        return np.array([[values[f"{measure}@{k}"] for measure in MEASURES] for k in ks])

    def _carousels(self, situation: strategies.Situation) -> None:
        """4.2.1 for the test users; without files where there are no playlists to show."""
        engine, indexed, space = self.engine, situation.logs, situation.space.name
        users = engine.xp.arange(indexed.n_users)[indexed.users("test")]

        def files(made: Mapping[str, carousels.Carousel]) -> dict[str, bytes]:
            return {
                f"recommendations/{space}/carousel-{arm}.parquet": parquet_bytes(
                    carousels.columns(situation, users, carousel)
                )
                for arm, carousel in made.items()
            }

        def load(saved: Mapping[str, bytes]) -> Mapping[str, carousels.Carousel]:
            del saved  # the replay reads the files itself
            return {}

        self._stage(
            f"{space}/carousels", lambda: carousels.carousels(situation, users), files, load
        )

    def _evaluate(self, measures: Mapping[tuple[str, str], HostArray]) -> tuple[Sample, list[Row]]:
        """4.1.4: means, deviations and intervals over the test users."""
        options = self.config.evaluation
        protocol = Protocol(
            next(iter(measures.values())).shape[-1],
            folds=options.folds,
            bootstrap=options.bootstrap,
            seed=self.config.seed,
            deviation=options.deviation,
        )
        sample = protocol.sample(measures, options.k)
        return sample, protocol.rows(sample)

    def _analysis(self, indexed: logs.Logs, sample: Sample, rows: list[Row]) -> dict[str, Table]:
        """Comparisons of strategies, Figures 4 and 5, Table 2, and how training went."""
        return self._stage(
            "analysis",
            lambda: analyse(
                facts_of(self.engine, indexed, self.config),
                self.config,
                sample,
                rows,
                read=self.directory.read,
                progress=self.reporter.step,
            ),
            files_of,
            read_tables,
        )

    # -- how a stage runs ----------------------------------------------------------------------

    def _stage_of(self, kind: type[T], name: str, make: Callable[[], T]) -> T:
        """A stage whose value is one dataclass of arrays."""
        file = f"artifacts/{name}.safetensors"
        return self._stage(
            name,
            make,
            lambda value: {file: encode(self.engine, value)},
            lambda saved: decode(self.engine, saved[file], kind),
        )

    def _stage(
        self,
        name: str,
        make: Callable[[], T],
        files: Callable[[T], dict[str, bytes]],
        load: Callable[[Mapping[str, bytes]], T],
    ) -> T:
        """Do a stage and save it, or read it where it is done already."""
        if self.directory.has(name):
            value = load(self.directory.read(name))
            self.reporter.kept(name, self._earlier.get(name))
            return value
        with self.reporter.stage(name):
            value = make()
            self.directory.write(name, files(value))
        self.reporter.log_to(self.directory.path / "run.log")
        self._save_times()
        return value

    def _check_lengths(self, indexed: logs.Logs) -> None:
        """Refuse settings the data cannot serve before anything is written."""
        longest = max(self.config.evaluation.k)
        if longest > indexed.n_tracks:
            raise UserError(
                f"setting 'evaluation.k' asks for {longest} tracks, more than the "
                f"{indexed.n_tracks} there are: set it lower"
            )
        segments.number_of_segments(self.config, indexed.n_warm)
        check_batches(self.config.mlp, indexed.n_warm)

    def _read_times(self) -> dict[str, StageTime]:
        """Times of stages an interrupted run has done; they are for information only."""
        try:
            saved = json.loads((self.directory.path / _TIMES).read_bytes())
            return {entry["name"]: StageTime(**entry) for entry in saved}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def _save_times(self) -> None:
        text = json.dumps([asdict(entry) for entry in self.reporter.times], indent=1)
        (self.directory.path / _TIMES).write_text(text + "\n", encoding="utf-8")
