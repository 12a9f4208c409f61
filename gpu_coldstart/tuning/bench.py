"""Where settings are tried out: what all trials share is made once, the rest in every trial.

Lists are made for the validation users alone, and only their truth is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from gpu_coldstart import strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import adjusted
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.artifacts import lacks_memory
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.learned import Learned
from gpu_coldstart.runs.making import context_of
from gpu_coldstart.runs.settings import check_settings
from gpu_coldstart.runs.stages import Given, Stage
from gpu_coldstart.runs.store import Manifest, RunDirectory
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies import Strategy, Users
from gpu_coldstart.strategies.tuning import LISTED
from gpu_coldstart.tuning.components import Component

__all__ = ["Bench", "Heard", "Outcome", "Saved", "needed", "saved_in"]

T = TypeVar("T")

Heard: TypeAlias = Callable[[int, float], bool]
"""Hears the number of an epoch and the NDCG after it, and says whether to go on."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: an NDCG, or neither NDCG nor note where it was not gone on with.

    Attributes
    ----------
    ndcg : float or None
        Mean over the validation users. Of a strategy that they teach, on folds of them.
    of_users : HostArray [validation users] of float32 or None
        Unless on folds.
    note : str
        Why the settings cannot be tried.
    """

    ndcg: float | None = None
    of_users: HostArray | None = None
    note: str = ""


class _HopelessError(Exception):
    """Ends the learning of a strategy, or of the network."""


class Saved:
    """What the stages of a run directory came to, read once."""

    def __init__(self, directory: RunDirectory):
        self._directory = directory
        self._values: dict[str, Any] = {}

    def __getitem__(self, stage: Stage[T], /) -> T:
        if stage.name not in self._values:
            self._values[stage.name] = self._read(stage)
        return cast("T", self._values[stage.name])

    def _read(self, stage: Stage[T]) -> T:
        if stage.codec is None or not self._directory.has(stage.name):
            return stage.make(self)
        with self._directory.reading(stage.name) as files:
            return stage.codec.decode(files)


def saved_in(out: Path) -> Saved:
    """The stages that are done in a run directory.

    Raises
    ------
    UserError
        When there is no run, or it is damaged.
    """
    manifest = Manifest.read(out)
    if manifest is None:
        raise UserError(f"{out} holds no run any more: give the command again")
    directory = RunDirectory(out, manifest.identity, {}, manifest.keys)
    directory.stages = manifest.stages
    return Saved(directory)


def needed(learned: Learned, component: Component, config: Config) -> tuple[Stage[Any], ...]:
    """The stages that the judge's lists are made with, and that depend on nothing tuned.

    Each comes after its inputs. Of a stage that depends on it itself, the inputs are looked at.
    """
    found: dict[str, Stage[Any]] = {}

    def add(stage: Stage[Any]) -> None:
        for source in stage.inputs:
            add(source)
        if not _depends(stage, component):
            found[stage.name] = stage

    add(learned.prepared)
    for name in _with_experts(component.judge, config):
        if name in learned.states:
            add(learned.states[name])
    return tuple(found.values())


def _depends(stage: Stage[Any], component: Component) -> bool:
    """Whether a stage, or anything that it is made of, reads a setting that is tuned."""
    tuned = any(key in component.ranges for key in stage.parameters)
    return tuned or any(_depends(source, component) for source in stage.inputs)


def _with_experts(judge: str, config: Config) -> tuple[str, ...]:
    return strategies.with_experts(adjusted(config, {"strategies.names": (judge,)}))


class Bench:
    """Tries settings of one part.

    Parameters
    ----------
    engine : Engine
    config : Config
    dataset : Dataset
    component : Component
    saved : Given
        The values of stages that no trial changes.
    progress : callable
        Called with a stage's progress.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        dataset: Dataset,
        component: Component,
        *,
        saved: Given,
        progress: Progress,
    ):
        self._engine, self._config, self._dataset = engine, config, dataset
        self._component, self._saved, self._progress = component, saved, progress

    def tried(self, settings: Mapping[str, Any], heard: Heard) -> Outcome:
        """Make everything that depends on settings, and judge it."""
        try:
            return self._judged(settings, heard)
        except _HopelessError:
            return Outcome()
        except UserError as error:
            return Outcome(note=str(error))
        except (MemoryError, RuntimeError) as error:
            lacking = self._engine.explain(error)
            if lacking is None and not lacks_memory(error):
                raise
            return Outcome(note=str(lacking or "not enough memory"))

    def _judged(self, settings: Mapping[str, Any], heard: Heard) -> Outcome:
        engine, component = self._engine, self._component
        config = adjusted(
            self._config, {**settings, "strategies.names": (component.judge,)}
        ).replace(spaces=(component.space,))

        def after_epoch(name: str, epoch: int, ndcg: float) -> None:
            if name == component.heard and not heard(epoch, ndcg):
                raise _HopelessError

        def after_network_epoch(epoch: int, places: Array) -> None:
            # A judge that learns comes after the network, and tells of its own epochs.
            if not learned.states and not heard(epoch, float(ndcg_of(places).mean())):
                raise _HopelessError

        def ndcg_of(places: Array) -> Array:
            """Of each validation user, by a judge that learns nothing, were the network as now."""
            cut, inputs = given[learned.segments], given[learned.inputs]
            logs, truth = given[flow.data]
            context = context_of(engine, logs, given[learned.space], cut, config)
            numbers = engine.xp.arange(logs.n_users)[logs.users("validation")]
            users = Users(logs.registrations, inputs, numbers, places)
            strategy = strategies.made(component.judge, config, context, {})
            return _ndcg(config, strategy, users, truth.of(engine, "validation"))

        flow = Flow(
            engine,
            config,
            self._dataset,
            {},
            progress=self._progress,
            after_epoch=after_epoch,
            after_network_epoch=after_network_epoch,
        )
        given = _Trial(self._saved, component)
        check_settings(engine, config, self._dataset, given[flow.data][0])
        learned = flow.learned[component.space]
        prepared = given[learned.prepared]
        states = {name: given[stage] for name, stage in learned.states.items()}
        strategy = strategies.made(component.judge, config, prepared.context, states)
        if strategy.taught:
            return Outcome(float(max(strategy.state.curve)))
        ndcg = _ndcg(config, strategy, prepared.past.validation, prepared.past.wanted)
        return Outcome(float(ndcg.mean()), engine.to_host(ndcg))


def _ndcg(config: Config, strategy: Strategy, users: Users, wanted: Csr) -> Array:
    """Of each user's list [users] of float32."""
    k = min(LISTED, strategy.context.n_tracks)
    ranking = strategies.recommend(strategy, users, k, exclude_seen=config.strategies.exclude_seen)
    found: Array = strategy.context.engine.rank_metrics(ranking.tracks, wanted, [k]).ndcg[0]
    return found


class _Trial:
    """Values of a trial's stages: those that every trial has alike, and the trial's own."""

    def __init__(self, saved: Given, component: Component):
        self._saved, self._component = saved, component
        self._own: dict[str, Any] = {}

    def __getitem__(self, stage: Stage[T], /) -> T:
        if not _depends(stage, self._component):
            return self._saved[stage]
        if stage.name not in self._own:
            self._own[stage.name] = stage.make(self)
        return cast("T", self._own[stage.name])
