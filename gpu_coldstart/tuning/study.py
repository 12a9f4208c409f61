"""The trials of one part: which settings come next, when one is hopeless, and what came of each.

They are kept in Optuna's journal, a file, by the one process that holds the directory.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from gpu_coldstart.config.base import Choices, Range
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.errors import UserError
from gpu_coldstart.tuning.components import Component, range_text

__all__ = ["Attempt", "Entry", "Study"]

_STARTUP = 4
"""Trials before any is pruned."""

_WARM_UP = 5
"""Epochs before a trial is pruned, as a small learning rate begins low."""

_WORDS: dict[TrialState, str] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}

_Frozen: TypeAlias = optuna.trial.FrozenTrial


@dataclass(frozen=True)
class Attempt:
    """A trial that has begun.

    Attributes
    ----------
    number : int
    settings : dict of key to value
    configured : bool
        Whether they are those of the configuration, with which all others are compared.
    trial : optuna.trial.Trial
    begun : float
        By the clock of ``time.perf_counter``, in seconds.
    """

    number: int
    settings: dict[str, Any]
    configured: bool
    trial: Any
    begun: float


@dataclass(frozen=True)
class Entry:
    """What came of a trial.

    Attributes
    ----------
    number : int
    state : {"done", "pruned", "failed"}
    ndcg : float or None
        Of one that was pruned, after its last epoch.
    settings : dict of key to value
    seconds : float
    epochs : int
        That were reported.
    note : str
        Why it failed, or which trial had the same settings, and so was not made again.
    """

    number: int
    state: str
    ndcg: float | None
    settings: dict[str, Any]
    seconds: float
    epochs: int
    note: str


class Study:
    """Trials of a part, those of earlier commands included.

    Parameters
    ----------
    path : Path
        Of the journal; there need not be one.
    component : Component
    config : Config
        Its values are tried first, and its seed is that of all choices.

    Attributes
    ----------
    component : Component

    Raises
    ------
    UserError
        When the journal is of other ranges, another space or judge, or damaged.
    """

    def __init__(self, path: Path, component: Component, config: Config):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.component, self._seed = component, config.seed
        values = flat(config)
        self._configured = {
            key: _spelled(each, values[key]) for key, each in component.ranges.items()
        }
        _mend(path)
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
            pruner = optuna.pruners.MedianPruner(_STARTUP, _WARM_UP)
            if component.name in optuna.get_all_study_names(storage):
                self._study = optuna.load_study(
                    study_name=component.name, storage=storage, pruner=pruner
                )
            else:
                self._study = optuna.create_study(
                    study_name=component.name, storage=storage, pruner=pruner, direction="maximize"
                )
        except (ValueError, KeyError) as error:
            raise UserError(f"{path} is damaged: start again with --overwrite") from error
        self._check(path)
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):
            self._study.tell(trial.number, state=TrialState.FAIL)  # of a command that was killed
        tried = [trial.params for trial in self._counted()]
        waiting = self._study.get_trials(states=[TrialState.WAITING])
        if self._configured not in tried and not waiting:
            self._study.enqueue_trial(self._configured)

    def _check(self, path: Path) -> None:
        part = self.component
        ranges = {key: range_text(each) for key, each in part.ranges.items()}
        plan = {"space": part.space, "strategy": part.judge, **ranges}
        before = self._study.user_attrs.get("plan")
        if before is None:
            self._study.set_user_attr("plan", plan)
        elif before != plan:
            keys = [key for key in {**before, **plan} if before.get(key) != plan.get(key)]
            told = ", ".join(
                f"{key} (was {before.get(key, 'none')}, now {plan.get(key, 'none')})"
                for key in keys[:3]
            )
            raise UserError(
                f"{path} holds trials of another search: {told}; choose another place with --out "
                "DIR, or start again with --overwrite"
            )

    # -- trials --------------------------------------------------------------------------------

    def _counted(self) -> list[_Frozen]:
        """Trials that used up their part of the budget: all but those that were ended from outside.

        Settings that the data cannot serve count as tried.
        """
        ended = self._study.get_trials(deepcopy=False, states=list(_WORDS))
        return [
            trial for trial in ended if trial.state != TrialState.FAIL or "note" in trial.user_attrs
        ]

    @property
    def done(self) -> int:
        """How many trials there have been."""
        return len(self._counted())

    @property
    def _running(self) -> int:
        return len(self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    def ask(self, most: int) -> Attempt | None:
        """Begin the next trial, unless there are ``most`` with those that are at work.

        Settings that were tried before have the outcome that they had.
        """
        while (before := self.done + self._running) < most:
            trial = self._study.ask()
            # By how many come before, so that a search goes on as without an interruption.
            self._study.sampler = optuna.samplers.TPESampler(
                seed=(self._seed * 1_000_003 + before) % 2**32,
                multivariate=False,
                constant_liar=False,
            )
            settings = {
                key: _suggested(trial, key, each, self._configured[key])
                for key, each in self.component.ranges.items()
            }
            same = [each for each in self._counted() if each.params == trial.params]
            if not same:
                configured = trial.params == self._configured
                return Attempt(trial.number, settings, configured, trial, time.perf_counter())
            trial.set_user_attr("note", f"as trial {same[0].number}")
            self._tell(trial, same[0].state, same[0].value)
        return None

    def goes_on(self, attempt: Attempt, epoch: int, ndcg: float) -> bool:
        """Note the NDCG after an epoch; whether its best so far is no less than others' median."""
        attempt.trial.report(ndcg, epoch)
        return attempt.configured or not attempt.trial.should_prune()

    def finish(self, attempt: Attempt, ndcg: float | None = None, note: str = "") -> None:
        """End a trial: with its NDCG, as pruned, or, with a note of why, as failed."""
        attempt.trial.set_user_attr("seconds", round(time.perf_counter() - attempt.begun, 3))
        if note:
            attempt.trial.set_user_attr("note", note)
        state = TrialState.FAIL if note else TrialState.PRUNED
        self._tell(attempt.trial, state if ndcg is None else TrialState.COMPLETE, ndcg)

    def give_up(self, attempt: Attempt) -> None:
        """End a trial that did not run to its end; another one takes its place."""
        self._study.tell(attempt.trial, state=TrialState.FAIL)

    def _tell(self, trial: Any, state: TrialState, ndcg: float | None) -> None:
        self._study.tell(trial, ndcg if state == TrialState.COMPLETE else None, state=state)

    # -- outcome -------------------------------------------------------------------------------

    @property
    def entries(self) -> list[Entry]:
        """Every trial that counts, in order."""
        return [
            Entry(
                trial.number,
                _WORDS[trial.state],
                trial.value,
                {
                    key: _meant(self.component.ranges[key], value)
                    for key, value in trial.params.items()
                },
                float(trial.user_attrs.get("seconds", 0)),
                len(trial.intermediate_values),
                str(trial.user_attrs.get("note", "")),
            )
            for trial in self._counted()
        ]

    def entry(self, number: int) -> Entry:
        """What came of one trial."""
        return next(entry for entry in self.entries if entry.number == number)

    @property
    def first(self) -> Entry | None:
        """The trial of the settings as they are configured, once it is done."""
        done = [each for each in self._counted() if each.params == self._configured]
        return next((each for each in self.entries if done and each.number == done[0].number), None)

    @property
    def best(self) -> Entry | None:
        """The first of the highest NDCG; None before one is done."""
        done = [entry for entry in self.entries if entry.state == "done"]
        return max(done, key=lambda entry: entry.ndcg or 0.0, default=None)

    @property
    def importances(self) -> dict[str, float]:
        """The part of each setting in the spread of NDCG (Watanabe et al. 2023); {} if too few."""
        done = [entry for entry in self.entries if entry.state == "done"]
        if len(done) <= _STARTUP or len({entry.ndcg for entry in done}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {key: float(share) for key, share in shares.items()}


def _mend(path: Path) -> None:
    """Drop what a killed command left of a line, and its lock; the directory is ours alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)


def _spelled(declared: Range, value: Any) -> Any:
    """A value as Optuna keeps it: numbers as they are, choices by how they are written."""
    return str(value) if isinstance(declared, Choices) else value


def _meant(declared: Range, kept: Any) -> Any:
    """The other way round."""
    if not isinstance(declared, Choices):
        return kept
    return next(value for value in declared.values if str(value) == kept)


def _suggested(trial: Any, key: str, declared: Range, configured: Any) -> Any:
    """The next value of a setting."""
    if isinstance(declared, Choices):
        kept = trial.suggest_categorical(key, [str(value) for value in declared.values])
        return _meant(declared, kept)
    if isinstance(configured, int):
        return trial.suggest_int(key, int(declared.low), int(declared.high), log=declared.log)
    return trial.suggest_float(key, declared.low, declared.high, log=declared.log)
