"""Settings that the data cannot serve, refused before anything is learned or written."""

from __future__ import annotations

from gpu_coldstart import segments, strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.models import check_batches
from gpu_coldstart.registry import section

__all__ = ["check_lists", "check_settings"]


def check_settings(engine: Engine, config: Config, dataset: Dataset, logs: Logs) -> None:
    """Refuse settings that the data cannot serve before anything is written.

    Raises
    ------
    UserError
        For more segments than warm users, no full batch, sound that is not there, spaces that
        cannot be learned where they are to be, or what the data set refuses.
    """
    _check_spread(config, dataset)
    if "sound" in config.new_releases.sources and logs.sound is None:
        raise UserError(
            "setting 'new_releases.sources' names sound, of which the data have no table: add "
            "sound.parquet, as 'gpu-coldstart artists embed' writes it, or leave sound out"
        )
    dataset.check(engine, config, logs)
    segments.number_of_segments(config.segments.k, logs.n_warm)
    check_batches(config.of(config.model), logs.n_warm, section(config.model))


def _check_spread(config: Config, dataset: Dataset) -> None:
    """Refuse to learn in executors where there are none, or what they do not learn."""
    if config.spark.spaces == "driver":
        return
    setting = f"setting 'spark.spaces' is '{config.spark.spaces}'"
    if not dataset.spread:
        raise UserError(
            f"{setting}, and the interactions are not on Spark: add --engine spark, or set it to "
            "'driver'"
        )
    others = [name for name in config.spaces if name not in dataset.spread]
    if others:
        raise UserError(
            f"{setting}, where {' and '.join(dataset.spread)} can be learned, but not "
            f"{' and '.join(others)}: leave that out of 'spaces', or set it to 'driver'"
        )


def check_lists(engine: Engine, config: Config, logs: Logs) -> None:
    """Refuse lists longer than the catalogue, or than what is left of it for some user.

    Raises
    ------
    UserError
    """
    longest = max(config.evaluation.k)
    if longest > logs.n_tracks:
        raise UserError(
            f"setting 'evaluation.k' asks for {longest} tracks, more than the "
            f"{logs.n_tracks} there are: set it lower"
        )
    if config.strategies.exclude_seen:
        listed = engine.xp.arange(logs.n_users)[logs.users("test", "target")]
        seen = logs.registrations.streamed(engine, listed, logs.n_tracks)
        strategies.most_seen(engine, seen, longest)
