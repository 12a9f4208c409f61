"""Runs followed elsewhere: stages, epochs and results told to TensorBoard, MLflow or W&B."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from gpu_coldstart.errors import UserError, first_line

if TYPE_CHECKING:
    from gpu_coldstart.evaluation.protocol import Row
    from gpu_coldstart.runs.progress import StageTime

__all__ = ["TRACKERS", "Followed", "Tracker", "tracked"]

_log = logging.getLogger(__name__)

_PROJECT = "gpu_coldstart"

_MOST_PARAMS = 100  # that MLflow takes at once

_CURVES = {
    "losses": "loss",
    "train_loss": "train_loss",
    "validation_cosine": "validation_cosine",
    "curve": "validation_ndcg",
}
"""What the value of a stage may keep of its iterations, epochs or trials, and its name there."""


class Tracker(Protocol):
    """Where a run is followed."""

    def measured(self, name: str, value: float, step: int) -> None:
        """Take a number down.

        Parameters
        ----------
        name : str
            Parts are separated by slashes, such as ``tt-svd/network/train_loss``.
        step : int
            The epoch or iteration, from 1; 0 where there is but one.
        """

    def close(self, *, done: bool) -> None:
        """The run is over: done, or stopped."""


class TensorBoard:
    """Event files below the folder ``tensorboard`` of the run."""

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        from torch.utils.tensorboard import SummaryWriter

        begun = time.strftime("%Y%m%dT%H%M%S")
        self._writer: Any = SummaryWriter(str(out / "tensorboard" / begun))
        lines = (f"    {key} = {value}" for key, value in settings.items())
        self._writer.add_text("settings", "\n".join(lines))

    def measured(self, name: str, value: float, step: int) -> None:
        """See :class:`Tracker`."""
        self._writer.add_scalar(name, value, step)

    def close(self, *, done: bool) -> None:
        """See :class:`Tracker`."""
        del done
        self._writer.close()


class Mlflow:
    """A run of an experiment, where ``MLFLOW_TRACKING_URI`` says."""

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client: Any = MlflowClient()
        experiment = self._client.get_experiment_by_name(_PROJECT)
        place = experiment.experiment_id if experiment else self._client.create_experiment(_PROJECT)
        self._run = self._client.create_run(place, run_name=out.name).info.run_id
        params = [Param(key, str(value)) for key, value in settings.items()]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run, params=params[start : start + _MOST_PARAMS])

    def measured(self, name: str, value: float, step: int) -> None:
        """See :class:`Tracker`."""
        self._client.log_metric(self._run, name.replace("@", "_at_"), value, step=step)

    def close(self, *, done: bool) -> None:
        """See :class:`Tracker`."""
        self._client.set_terminated(self._run, "FINISHED" if done else "FAILED")


class Wandb:
    """A run of a project of Weights & Biases; ``WANDB_MODE=offline`` keeps it here."""

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        import wandb

        self._run: Any = wandb.init(
            project=_PROJECT, name=out.name, dir=str(out), config=dict(settings)
        )
        # Its own steps count all numbers together.
        self._run.define_metric("*", step_metric="step")

    def measured(self, name: str, value: float, step: int) -> None:
        """See :class:`Tracker`."""
        self._run.log({name: value, "step": step})

    def close(self, *, done: bool) -> None:
        """See :class:`Tracker`."""
        self._run.finish(exit_code=0 if done else 1)


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Tracker]] = MappingProxyType(
    {"tensorboard": TensorBoard, "mlflow": Mlflow, "wandb": Wandb}
)
"""By the name that ``--track`` takes, which is that of the extra too."""


class Followed:
    """Tells trackers what happens. One that fails is told nothing more; the run goes on.

    Attributes
    ----------
    trackers : dict of name to Tracker
    """

    def __init__(self) -> None:
        self.trackers: dict[str, Tracker] = {}

    def stage(self, took: StageTime) -> None:
        """A stage was done."""
        for number in ("seconds", "peak_rss_mb", "peak_gpu_mb"):
            self._tell(f"stages/{took.name}/{number}", [getattr(took, number)])

    def learned(self, stage: str, value: object) -> None:
        """What a stage made keeps its epochs, iterations or trials, if any."""
        for attribute, name in _CURVES.items():
            self._tell(f"{stage}/{name}", getattr(value, attribute, ()), first=1)

    def results(self, rows: Iterable[Row]) -> None:
        """The means of the measures over the test users."""
        from gpu_coldstart.evaluation.protocol import MEASURES  # --help names trackers, too

        for row in rows:
            for measure in MEASURES:
                name = f"results/{row.space}/{row.strategy}/{measure}@{row.k}"
                self._tell(name, [getattr(row, measure).mean])

    def close(self, *, done: bool) -> None:
        """The run is over."""
        for name in list(self.trackers):
            with self._guarded(name) as tracker:
                tracker.close(done=done)

    def _tell(self, name: str, values: Sequence[float], first: int = 0) -> None:
        for tracker in list(self.trackers):
            with self._guarded(tracker) as told:
                for step, value in enumerate(values, first):
                    told.measured(name, float(value), step)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[Tracker]:
        """A tracker, which is given up when it raises: a run is worth more than its tracking."""
        try:
            yield self.trackers[name]
        except Exception as error:  # whatever a library or its server comes up with
            del self.trackers[name]
            _log.warning("%s was given up (%s): the run goes on", name, first_line(error))


@contextmanager
def tracked(names: Sequence[str], out: Path, settings: Mapping[str, Any]) -> Iterator[Followed]:
    """Follow a run.

    Parameters
    ----------
    names : sequence of str
        Of :data:`TRACKERS`.
    out : Path
        The run directory.
    settings : dict of dotted key to value

    Raises
    ------
    UserError
        When one cannot be begun with.
    """
    followed, done = Followed(), False
    try:
        for name in names:
            followed.trackers[name] = _begun(name, out, settings)
        yield followed
        done = True
    finally:
        followed.close(done=done)


def _begun(name: str, out: Path, settings: Mapping[str, Any]) -> Tracker:
    try:
        return TRACKERS[name](out, settings)
    except ModuleNotFoundError as error:
        raise UserError(
            f"--track {name} needs {error.name}: pip install 'gpu-coldstart[{name}]'"
        ) from error
    except Exception as error:
        raise UserError(
            f"--track {name} cannot begin ({first_line(error)}): mend that or leave it out"
        ) from error
