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
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import save as save_weights

from gpu_coldstart import features, segments, spaces, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.analysis import RunResults, analyse, observe
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol, Row, Sample
from gpu_coldstart.evaluation.replay import notes as replay_notes
from gpu_coldstart.evaluation.tables import Table, files_of, read_tables
from gpu_coldstart.fitting import context_of, past_of, train_network
from gpu_coldstart.models import Network, check_batches, predict
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.runs.artifacts import RunDirectory, decode, encode, parquet_bytes
from gpu_coldstart.runs.progress import Reporter, StageTime
from gpu_coldstart.runs.results import space_results
from gpu_coldstart.strategies import Context, Past, Users, carousels

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
    truth : GroundTruth
    notes : list of str
        What was left out, assumed or fallen back on, for the report.
    losses : dict of space to tuple of float
        The objective after each iteration, of the spaces fitted by iterations.
    tables : dict of name to table
        The evaluation (:data:`gpu_coldstart.evaluation.tables.SCHEMAS`); empty when left out.
    """

    rows: list[Row]
    logs: Logs
    truth: GroundTruth
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
    dataset : Dataset
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        directory: RunDirectory,
        reporter: Reporter,
        dataset: Dataset,
    ):
        self.engine = engine
        self.config = config
        self.directory = directory
        self.reporter = reporter
        self._dataset = dataset
        self._earlier = self._read_times()

    def run(self) -> Outcome:
        """Run what is left to run."""
        config, reporter = self.config, self.reporter
        analysed = config.evaluation.analysis
        shown = config.carousels.playlists > 0
        kinds = [STRATEGIES.get(name) for name in config.strategies.names]
        states = sum(kind.State is not None for kind in kinds)
        of_a_space = 3 + len(kinds) + states + shown
        reporter.expect(2 + analysed + len(config.spaces) * of_a_space)
        indexed, truth = self._logs()
        measures: dict[tuple[str, str], HostArray] = {}
        notes = [*indexed.notes, *carousels.notes(self.engine, indexed, config.carousels)]
        if shown:
            notes += replay_notes(self.engine, truth)
        losses: dict[str, tuple[float, ...]] = {}
        for name in config.spaces:
            space = self._space(name, indexed)
            notes += space.notes
            if space.losses:
                losses[name] = space.losses
                told = " ".join(f"{loss:.5g}" for loss in space.losses)
                self.reporter.say(f"        loss after each iteration: {told}")
            context, past, users = self._situation(indexed, truth, space)
            for strategy in config.strategies.names:
                way = self._strategy(strategy, context, past)
                measures[name, strategy] = self._recommend(way, users, past, truth)
            if shown:
                self._carousels(context, past, users)
        with reporter.stage("evaluation"):
            protocol, sample, rows = self._evaluate(measures)
        tables = self._analysis(indexed, truth, protocol, sample, rows) if analysed else {}
        self._save_times()
        return Outcome(rows, indexed, truth, notes, losses, tables)

    # -- stages --------------------------------------------------------------------------------

    def _logs(self) -> tuple[Logs, GroundTruth]:
        """The data, checked and indexed."""
        engine = self.engine
        past, future = "artifacts/logs.safetensors", "artifacts/truth.safetensors"

        def make() -> tuple[Logs, GroundTruth]:
            logs, truth = self._dataset.index(engine, self.config, self.reporter.step)
            self._check_lengths(logs)
            return logs, truth

        return self._stage(
            "logs",
            make,
            lambda made: {past: encode(engine, made[0]), future: encode(engine, made[1])},
            lambda saved: (
                decode(engine, saved[past], Logs),
                decode(engine, saved[future], GroundTruth),
            ),
        )

    def _space(self, name: str, indexed: Logs) -> spaces.Space:
        """3.1.1 and 3.1.2."""
        return self._stage_of(
            spaces.Space,
            f"{name}/space",
            lambda: self._dataset.space(
                name, self.engine, indexed, self.config, self.reporter.step
            ),
        )

    def _situation(
        self, indexed: Logs, truth: GroundTruth, space: spaces.Space
    ) -> tuple[Context, Past, Users]:
        """3.1.3 to 3.2.3: segments, input vectors, network, predictions of the cold users."""
        config, engine, xp = self.config, self.engine, self.engine.xp
        cut = self._segments(indexed, space)
        inputs, _ = self._dataset.inputs(engine, indexed, space, config)
        predicted = self._network(indexed, truth, space, inputs)
        cold = xp.arange(indexed.n_warm, indexed.n_users)
        users = Users(indexed.registrations, inputs, cold, predicted)
        past = past_of(
            engine,
            indexed,
            truth,
            space=space,
            cut=cut,
            validation=users.take(slice(indexed.n_validation)),
            config=config,
        )
        context = context_of(engine, indexed, space, cut, config)
        return context, past, users.take(slice(indexed.n_validation, None))

    def _segments(self, indexed: Logs, space: spaces.Space) -> segments.Segments:
        name = f"{space.name}/segments"

        def files(found: segments.Segments) -> dict[str, bytes]:
            described = segments.describe(
                self.engine, indexed, found, self.config.features.age_classes
            )
            favourites = segments.favourites(
                self.engine, indexed.track_ids, found.shares, max(self.config.evaluation.k)
            )
            return {
                f"artifacts/{name}.safetensors": encode(self.engine, found),
                f"artifacts/{name}.parquet": parquet_bytes(described),
                f"artifacts/{name}.tracks.parquet": parquet_bytes(favourites),
            }

        return self._stage(
            name,
            lambda: segments.fit(
                self.engine, indexed, space, self.config.segments, self.config.seed
            ),
            files,
            lambda saved: decode(
                self.engine, saved[f"artifacts/{name}.safetensors"], segments.Segments
            ),
        )

    def _network(
        self,
        indexed: Logs,
        truth: GroundTruth,
        space: spaces.Space,
        inputs: features.Inputs,
    ) -> Array:
        """Train the network and predict the cold users; returns the predictions."""
        name, engine = f"{space.name}/network", self.engine

        def make() -> tuple[Network | None, dict[str, Predictions]]:
            network = train_network(
                engine,
                indexed,
                truth,
                space=space,
                inputs=inputs,
                config=self.config,
                progress=self.reporter.step,
            )
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

    def _recommend(
        self, strategy: strategies.Strategy, users: Users, past: Past, truth: GroundTruth
    ) -> HostArray:
        """3.2.4 for the test and target users; each test user's measures [K, measure, users]."""
        engine, indexed, ks = self.engine, past.logs, self.config.evaluation.k
        stage = f"{past.space.name}/{strategy.name}"
        place, measured = f"recommendations/{stage}.parquet", f"artifacts/{stage}.measures.parquet"

        def make() -> tuple[strategies.Ranking | None, dict[str, HostArray]]:
            ranking = strategies.recommend(
                strategy,
                users,
                max(ks),
                exclude_seen=self.config.strategies.exclude_seen,
                progress=lambda done: self.reporter.step(done, len(users), "users"),
            )
            tested = ranking.tracks[: indexed.n_test]
            metrics = engine.rank_metrics(tested, truth.of(engine, "test"), ks)
            return ranking, {
                f"{measure}@{k}": engine.to_host(getattr(metrics, measure)[i])
                for i, k in enumerate(ks)
                for measure in MEASURES
            }

        def files(made: tuple[strategies.Ranking | None, dict[str, HostArray]]) -> dict[str, bytes]:
            ranking = made[0]
            assert ranking is not None
            ids = engine.to_host(indexed.user_ids[users.numbers])
            tracks = engine.to_host(indexed.track_ids[ranking.tracks])
            ranks = np.arange(1, max(ks) + 1, dtype=np.int32)
            return {
                place: parquet_bytes(
                    {
                        "user_id": np.repeat(ids, max(ks)),
                        "cohort": _cohorts(indexed, max(ks)),
                        "rank": np.tile(ranks, len(ids)),
                        "track_id": tracks.ravel(),
                        "score": engine.to_host(ranking.scores).ravel(),
                    }
                ),
                measured: parquet_bytes({"user_id": ids[: indexed.n_test], **made[1]}),
            }

        def load(saved: Mapping[str, bytes]) -> tuple[None, dict[str, HostArray]]:
            table = pq.read_table(io.BytesIO(saved[measured])).drop_columns("user_id")
            return None, {key: table.column(key).to_numpy() for key in table.column_names}

        values = self._stage(stage, make, files, load)[1]
        return np.array([[values[f"{measure}@{k}"] for measure in MEASURES] for k in ks])

    def _strategy(self, name: str, context: Context, past: Past) -> strategies.Strategy:
        """The strategy, its own state learned or read where it has one."""
        kind: type[strategies.Strategy] = STRATEGIES.get(name)
        parameters = strategies.parameters_of(name, self.config)
        if kind.State is None:
            return kind(context, parameters)
        state = self._stage_of(
            kind.State,
            f"{past.space.name}/{name}.state",
            lambda: kind.fit(context, parameters, past, self.reporter.step),
        )
        return kind(context, parameters, state)

    def _carousels(self, context: Context, past: Past, users: Users) -> None:
        """4.2.1 for the test and target users; no files where there are no playlists to show."""
        engine, indexed, space = self.engine, past.logs, past.space.name

        def make() -> Mapping[str, carousels.Carousel]:
            offer = carousels.Offer.fit(engine, indexed, past.space, self.config.carousels)
            return carousels.carousels(context, offer, users)

        def files(made: Mapping[str, carousels.Carousel]) -> dict[str, bytes]:
            explained = carousels.explanations(
                segments.describe(engine, indexed, past.segments, self.config.features.age_classes)
            )
            tables = {
                arm: carousels.columns(
                    engine,
                    indexed.user_ids[users.numbers],
                    indexed.playlist_ids,
                    carousel,
                    explained,
                )
                for arm, carousel in made.items()
            }
            return {
                f"recommendations/{space}/carousel-{arm}.parquet": parquet_bytes(
                    table | {"cohort": _cohorts(indexed, len(table["rank"]) // len(users))}
                )
                for arm, table in tables.items()
            }

        def load(saved: Mapping[str, bytes]) -> Mapping[str, carousels.Carousel]:
            del saved  # the replay reads the files itself
            return {}

        self._stage(f"{space}/carousels", make, files, load)

    def _evaluate(
        self, measures: Mapping[tuple[str, str], HostArray]
    ) -> tuple[Protocol, Sample, list[Row]]:
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
        return protocol, sample, protocol.rows(sample)

    def _analysis(
        self,
        indexed: Logs,
        truth: GroundTruth,
        protocol: Protocol,
        sample: Sample,
        rows: list[Row],
    ) -> dict[str, Table]:
        """Comparisons of strategies, Figures 4 and 5, Table 2, and how training went."""
        config = self.config

        def make() -> dict[str, Table]:
            made = {
                space: space_results(config, space, self.directory.read, indexed)
                for space in config.spaces
            }
            return analyse(
                observe(self.engine, indexed, truth, config.features.age_classes),
                RunResults(made, protocol, sample, rows),
                config.evaluation,
                config.carousels,
                seed=config.seed,
                progress=self.reporter.step,
            )

        return self._stage("analysis", make, files_of, read_tables)

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

    def _check_lengths(self, indexed: Logs) -> None:
        """Refuse settings the data cannot serve before anything is written."""
        longest = max(self.config.evaluation.k)
        if longest > indexed.n_tracks:
            raise UserError(
                f"setting 'evaluation.k' asks for {longest} tracks, more than the "
                f"{indexed.n_tracks} there are: set it lower"
            )
        segments.number_of_segments(self.config.segments.k, indexed.n_warm)
        check_batches(self.config.of(self.config.model), indexed.n_warm)

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


def _cohorts(logs: Logs, k: int) -> pa.DictionaryArray:
    """Cohort of each row of the lists of test and target users, of ``k`` rows each."""
    codes = np.repeat(np.array([0, 1], np.int8), [k * logs.n_test, k * logs.n_target])
    return pa.DictionaryArray.from_arrays(codes, ["test", "target"])
