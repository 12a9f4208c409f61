"""Whether a model that was fitted on newer logs may take the place of the one in service.

Both recommend to the test users of the new run, from what is known of them by the end of the day
they registered, and are measured against what these users streamed next. The test is paired: the
difference is taken user by user, and its interval and p are of a bootstrap over users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart import strategies
from gpu_coldstart.coldstart import ColdStart
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.first_day import first_day
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.lists import evaluate
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.runs.finished import FinishedStages

__all__ = ["LEVEL", "Verdict", "judge"]

LEVEL = 0.05
"""Below this p a lower mean counts as worse."""

_NEW, _OLD = "new", "in service"
_MEASURE = "ndcg"


@dataclass(frozen=True)
class Verdict:
    """How a new model does against the one in service, in NDCG.

    Attributes
    ----------
    k : int
        Length of the lists.
    users : int
        Test users who are measured.
    left_out : int
        Test users whom the model in service may have learned from.
    names : dict of model to str
        The strategy of ``"new"`` and of ``"in service"``, each one's default.
    means : dict of model to float
    difference, low, high : float
        The new model's mean less the other's, and its 95 % interval.
    p : float
        Two-sided, of the difference being 0.
    """

    k: int
    users: int
    left_out: int
    names: Mapping[str, str]
    means: Mapping[str, float]
    difference: float
    low: float
    high: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether the new model is worse: its mean is lower, and not by chance."""
        return self.difference < 0 and self.p < LEVEL

    def __str__(self) -> str:
        """The figures in a sentence."""
        each = " and ".join(
            f"{self.means[which]:.2%} for the model {words} ({self.names[which]})"
            for which, words in ((_NEW, "fitted now"), (_OLD, "in service"))
        )
        out = f" ({self.left_out} left out, whom it may have learned from)" if self.left_out else ""
        return (
            f"N@{self.k} over {self.users} test users{out} is {each}: difference "
            f"{100 * self.difference:+.2f} (95 %: {100 * self.low:+.2f} to "
            f"{100 * self.high:+.2f}; p {self.p:.2g})"
        )


def judge(engine: Engine, path: Path, new: ColdStart, service: ColdStart) -> Verdict:
    """Compare the model of a run with the one in service, on the run's test users.

    Parameters
    ----------
    path : Path
        The run.
    new : ColdStart
        What it learned.
    service : ColdStart

    Raises
    ------
    UserError
        When the model in service may have learned from every test user, or has ids of another kind
        or too few tracks.
    """
    run = FinishedStages(engine, path)
    logs, truth = run[run.flow.data]
    dataset = DATASETS.get(run.config.dataset).open(run.config)
    users, interactions = first_day(engine, logs, "test")
    later = _registered_after(engine, dataset, users["user_id"], service)
    if not later.any():
        raise UserError(
            f"all {len(users)} test users registered by {service.fitted.about['data']['last_day']},"
            " up to when the model in service has learned, maybe from them: give logs that go on "
            "for longer"
        )
    users = users.filter(pa.array(later))
    interactions, wanted = (
        table.filter(pc.is_in(table["user_id"], users["user_id"]))
        for table in (interactions, _wanted(engine, logs, truth))
    )
    k = max(run.config.evaluation.k)
    models = {_NEW: new, _OLD: service}
    lists = {name: model.recommend(users, interactions, k=k) for name, model in models.items()}
    measured = evaluate(lists, wanted, k=k)
    means = [row for row in measured.summary.to_pylist() if row["measure"] == _MEASURE]
    (tested,) = (row for row in measured.comparisons.to_pylist() if row["measure"] == _MEASURE)
    return Verdict(
        k,
        means[0]["users"],
        int((~later).sum()),
        {name: strategies.default_of(model.fitted.strategies) for name, model in models.items()},
        {row["strategy"]: row["mean"] for row in means},
        tested["difference"],
        tested["low"],
        tested["high"],
        tested["p_bootstrap"],
    )


def _registered_after(
    engine: Engine, dataset: Dataset, users: pa.ChunkedArray, service: ColdStart
) -> Any:
    """Mask [users] of those who registered after all that the model in service has learned."""
    ids, days = dataset.registered(engine)
    last = np.datetime64(service.fitted.about["data"]["last_day"], "D").astype(np.int64)
    return days[pc.index_in(users, value_set=ids).to_numpy()] > last


def _wanted(engine: Engine, logs: Logs, truth: GroundTruth) -> pa.Table:
    """``user_id`` and ``track_id`` of what the test users streamed next."""
    wanted = truth.of(engine, "test")
    ids = engine.to_host(logs.user_ids[logs.users("test")])
    tracks = engine.to_host(logs.track_ids[wanted.indices])
    users = np.repeat(ids, np.diff(engine.to_host(wanted.indptr)))
    return pa.table(
        {"user_id": logs.ids.names("user", users), "track_id": logs.ids.names("track", tracks)}
    )
