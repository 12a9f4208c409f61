"""The whole flow, from Parquet tables to the results table, stage by stage."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.cases import Benchmark, Case, Contender, Setting, Work
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import World
from gpu_coldstart.engine import Engine
from gpu_coldstart.run import run
from gpu_coldstart.runs.progress import Reporter

__all__ = ["BENCHMARKS", "preset_for", "seconds_of", "whole_flow"]

_EPOCHS = 5


def whole_flow(
    engine: Engine, tables: dict[str, pa.Table], preset: str, settings: dict[str, Any]
) -> Work:
    """The command's work on tables; Parquet files are written before, and removed with the work.

    Parameters
    ----------
    engine : Engine
    tables : dict of str to pyarrow.Table
        Of the data contract.
    preset : str
    settings : dict
        Over the preset.

    Returns
    -------
    callable
        Runs everything, and returns a (name, seconds) pair for each stage. The folder with the
        files goes when the callable does.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-flow-"))
    data = folder / "data"
    data.mkdir()
    for name, table in tables.items():
        pq.write_table(table, data / f"{name}.parquet")
    chosen = {"data": str(data), **settings}
    config = resolve(dataset="events", preset=preset, settings=chosen)

    def work() -> list[tuple[str, float]]:
        with (
            tempfile.TemporaryDirectory(dir=folder) as out,
            Reporter(engine) as reporter,
        ):
            run(config, engine, Path(out) / "run", reporter, resume=False)
        return [(stage.name, stage.seconds) for stage in reporter.times]

    weakref.finalize(work, shutil.rmtree, folder)
    return work


def seconds_of(stages: list[tuple[str, float]]) -> dict[str, float]:
    """Seconds of each stage by its name."""
    return dict(stages)


def preset_for(world: World) -> str:
    """The hyper-parameters to use: the paper's, but for worlds that only test the benchmark."""
    return "paper" if world.n_warm >= 1000 else "tiny"


def _prepare(setting: Setting) -> Case:
    world = setting.data.world
    settings = {
        "seed": setting.seed,
        "mlp.epochs_tt_svd": _EPOCHS,
        "mlp.epochs_ut_als": _EPOCHS,
    }

    def ours() -> Work:
        tables = generate(world, setting.seed)
        return whole_flow(setting.engine, tables, preset_for(world), settings)

    return Case(
        contenders=[Contender("gpu_coldstart", ours, ours=True)],
        sizes={"users": world.n_warm + world.n_validation + world.n_test, "tracks": world.n_tracks},
        items="users",
        versus=False,
        parts=seconds_of,
    )


BENCHMARKS = (
    Benchmark(
        "flow",
        "Parquet tables to the results table in both spaces, with the paper's hyper-parameters "
        f"but for {_EPOCHS} epochs of training in the place of 100 and 130",
        _prepare,
        slow=True,
        most_rounds=1,
    ),
)
"""What this file measures."""
