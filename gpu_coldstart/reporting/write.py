"""What a finished run leaves for people and programs: ``results.*``, figures and the page."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine import Engine
from gpu_coldstart.evaluation import report, tables
from gpu_coldstart.reporting.blocks import Drawn
from gpu_coldstart.reporting.run_page import RunFacts, run_page, statistics
from gpu_coldstart.runs.artifacts import write_atomically
from gpu_coldstart.runs.pipeline import Outcome
from gpu_coldstart.runs.progress import StageTime
from gpu_coldstart.runs.store import RunDirectory

__all__ = ["write_report"]

_LIBRARIES = (
    "numpy", "scipy", "pyarrow", "torch", "faiss-cpu", "numba", "matplotlib",
    "faiss-gpu", "faiss-gpu-cuvs", "cupy-cuda12x", "cupy-cuda13x",
    "cudf-cu12", "cudf-cu13", "cuml-cu12", "cuml-cu13", "nvtx",
)  # fmt: skip
"""What results may depend on; only what is installed is told."""


def write_report(
    directory: RunDirectory,
    engine: Engine,
    config: Config,
    outcome: Outcome,
    *,
    stages: Sequence[StageTime],
    notes: Sequence[str],
) -> None:
    """Write ``results.md`` and the figures, then ``results.json``, then ``report.html``.

    Raises
    ------
    UserError
        When the disk is full or the place cannot be written.
    """
    title = (
        f"{config.dataset}, preset {config.preset}, protocol {config.evaluation.protocol}, "
        f"seed {config.seed}, engine {engine.name}"
    )
    text = report.results_markdown(
        outcome.rows, config.evaluation.k, title, _facts(outcome.logs), notes
    )
    drawn = _drawn(config, outcome)
    figures = {
        name: content
        for several in drawn.values()
        for each in several
        for name, content in each.files.items()
    }
    directory.write("report", {"results.md": text.encode(), **figures})
    versions = _versions()
    content = report.results_json(
        outcome.rows,
        stages=[asdict(entry) for entry in stages],
        engine=engine.name,
        device=engine.device,
        dataset=config.dataset,
        preset=config.preset,
        protocol=config.evaluation.protocol,
        seed=config.seed,
        split=outcome.logs.split_rule,
        losses=outcome.losses,
        versions=versions,
        warnings=list(notes),
    )
    write_atomically(directory.path / "results.json", content.encode())
    facts = RunFacts(
        title=title,
        config=flat(config),
        engine=engine.name,
        device=engine.device,
        versions=versions,
        statistics=statistics(outcome.logs, outcome.truth),
        split_rule=outcome.logs.split_rule,
        rows=outcome.rows,
        tables=outcome.tables,
        losses=outcome.losses,
        stages=stages,
        warnings=notes,
        files=_beside(outcome),
    )
    write_atomically(directory.path / "report.html", run_page(facts, drawn))


def _drawn(config: Config, outcome: Outcome) -> dict[str, list[Drawn]]:
    """The figures; without the evaluation's tables that of the results alone."""
    if not config.evaluation.figures:
        return {}
    # Not at the top: Matplotlib takes a second, which runs without figures need not wait for.
    from gpu_coldstart.reporting.drawn import draw

    found = {"results": tables.assemble("results", tables.results(outcome.rows))}
    return draw(found | outcome.tables)


def _beside(outcome: Outcome) -> list[str]:
    """Files that the page points to at its end."""
    named = ("results.md", "results.json", "config.toml", "manifest.json", "run.log")
    return [*named, *(f"tables/{name}.csv" for name in outcome.tables)]


def _facts(logs: Logs) -> list[str]:
    """The size of the data, for ``results.md``."""
    return [
        f"{logs.n_warm} warm, {logs.n_validation} validation, {logs.n_test} test and "
        f"{logs.n_target} target users; "
        f"{logs.n_tracks} tracks, {len(logs.artist_ids)} artists, {len(logs.album_ids)} albums, "
        f"{len(logs.playlist_ids)} playlists",
        logs.split_rule,
    ]


def _versions() -> dict[str, str]:
    """Versions of what the results may depend on."""
    found = {"python": platform.python_version(), "gpu-coldstart": version("gpu-coldstart")}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
