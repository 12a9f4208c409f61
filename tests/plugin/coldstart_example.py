"""A strategy, a space, a model and a data set for gpu_coldstart."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from torch import nn

from gpu_coldstart import Dataset
from gpu_coldstart.config import Config, Parameters, Training
from gpu_coldstart.config.base import Count, Distinct, Natural, Searched
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine, SvdOptions
from gpu_coldstart.segments import shares_of
from gpu_coldstart.spaces import Progress, Space, unit_rows
from gpu_coldstart.strategies import Context, Past, Ranking, Strategy, Users


class CountryParameters(Parameters):
    """How many warm users a country needs for a chart of its own: the values to try."""

    least: Distinct[Natural] = (1, 10, 100)


@dataclass(frozen=True)
class Charts:
    """The chart of each country; country 0 is unknown, and stands for all small ones."""

    chart: Array  # [countries + 1] of int32: the row of ``shares`` that a country uses
    shares: Csr  # [countries + 1, tracks]
    curve: tuple[float, ...] = ()  # the validation NDCG of each value tried


class CountryCharts(Strategy):
    """The popular tracks of the user's country."""

    name = "example-country"
    label = "Country Charts"
    Parameters = CountryParameters
    State = Charts

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Charts:
        """Try each threshold and keep the best on the validation users."""
        engine, logs, xp = context.engine, past.logs, context.engine.xp
        country = logs.country[: logs.n_warm] + 1
        n = len(logs.countries) + 1
        users = xp.bincount(country, minlength=n)
        tried, scores = [], []
        for done, least in enumerate(parameters.least, start=1):
            chart = xp.where(users >= least, xp.arange(n), 0).astype(xp.int32)
            shares = shares_of(engine, logs.plays, chart[country], n, of="members")
            tried.append(Charts(chart, shares))
            ranking = cls(context, parameters, tried[-1]).recommend(past.validation, 10)
            scores.append(past.score(ranking))
            progress(done, len(parameters.least), f"from {least} users: NDCG {scores[-1]:.4f}")
        return replace(tried[int(np.argmax(scores))], curve=tuple(scores))

    def recommend(self, users: Users, k: int) -> Ranking:
        """The chart of each user's country."""
        tracks, shares = self.context.engine.row_top(self.state.shares, k)
        rows = self.state.chart[users.registrations.country[users.numbers] + 1]
        return Ranking(tracks[rows], shares[rows])


class SvdParameters(Parameters):
    """The dimension of the space."""

    dimension: Annotated[Count, Searched(16, 256, log=True)] = 64


class HistorySvd:
    """Tracks by the SVD of who streamed what, users as the mean of their tracks."""

    name = "example-svd"
    label = "History SVD"
    Parameters = SvdParameters

    @staticmethod
    def fit(
        engine: Engine, logs: Logs, parameters: SvdParameters, seed: int, progress: Progress
    ) -> Space:
        """Learn the space from the warm users' streams."""
        streams = logs.history.with_data(engine.xp.log1p(logs.history.data))
        options = SvdOptions(
            rank=parameters.dimension, oversamples=10, power_iterations=2, seed=seed
        )
        tracks = unit_rows(engine.svd(engine.transpose(streams), options).u)
        progress(1, 1, "done")
        return Space("example-svd", tracks, unit_rows(engine.pool(streams, tracks)))


class Linear:
    """One linear layer from the input vector to the space."""

    name = "example-linear"
    label = "Linear"
    Parameters = Training

    @staticmethod
    def build(
        engine: Engine, inputs: int, outputs: int, parameters: Training, *, training: bool = False
    ) -> nn.Module:
        """The network with fresh weights."""
        return nn.Linear(inputs, outputs)


class Radio:
    """A radio's listeners: three groups of tracks, each listener in love with one."""

    name = "example-radio"
    label = "Radio"
    needs_data = ""

    @staticmethod
    def open(config: Config) -> Dataset:
        """The tables of the data contract, as frames of any kind or dicts of columns."""
        users, day = np.arange(300), np.timedelta64(1, "D")
        registered = np.datetime64("2026-01-01T12:00:00.000000") + users // 3 * day
        listener = np.repeat(users, 20)
        track = listener % 3 * 30 + np.random.default_rng(config.seed).integers(30, size=6000)
        return Dataset.from_frames(
            users={"user_id": users, "registered_at": registered},
            tracks={"track_id": np.arange(90), "artist_id": np.arange(90) // 5},
            interactions={
                "user_id": listener,
                "timestamp": np.repeat(registered, 20) + np.tile(np.arange(20), 300) * day,
                "action": np.full(6000, "stream"),
                "entity": np.full(6000, "track"),
                "entity_id": track,
            },
        )
