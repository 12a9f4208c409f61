"""What a finished run leaves for people and programs: ``results.*``, figures and the page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NamedTuple

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine import Engine
from gpu_coldstart.evaluation import tables
from gpu_coldstart.reporting.blocks import Drawn
from gpu_coldstart.reporting.budget import budgets
from gpu_coldstart.reporting.results import results_json, results_markdown
from gpu_coldstart.reporting.run_page import RunSummary, run_page, statistics
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import write_atomically
from gpu_coldstart.runs.environment import commit, versions
from gpu_coldstart.runs.fingerprint import digest_of
from gpu_coldstart.runs.pipeline import Outcome
from gpu_coldstart.runs.progress import StageTime
from gpu_coldstart.runs.store import RunDirectory

__all__ = ["Remarks", "write_report"]

_LOG = logging.getLogger(__name__)


class Remarks(NamedTuple):
    """What there is to say of a run."""

    warnings: Sequence[str]
    """What to mind."""

    notes: Sequence[str]
    """What else to know."""


def write_report(
    directory: RunDirectory,
    engine: Engine,
    config: Config,
    outcome: Outcome,
    *,
    stages: Sequence[StageTime],
    remarks: Remarks,
) -> list[str]:
    """Write ``results.md`` and ``results.json``, then the figures and ``report.html``.

    Drawing comes last: where it fails, everything else is on disk.

    Returns
    -------
    list of str
        What went wrong with figures or page; empty where all is well.

    Raises
    ------
    UserError
        When the disk is full or the place cannot be written.
    """
    title = (
        f"{config.dataset}, preset {config.preset}, protocol {config.evaluation.protocol}, "
        f"seed {config.seed}, engine {engine.name}"
    )
    said = [*remarks.warnings, *remarks.notes]
    text = results_markdown(outcome.rows, config.evaluation.k, title, _size(outcome.logs), said)
    directory.write(paths.RESULTS_STAGE, {paths.RESULTS_TEXT: text.encode()})
    content = _results(engine, config, outcome, stages, remarks)
    write_atomically(directory.path / paths.RESULTS, content.encode())
    drawn, failures = _drawn(config, outcome)
    figures: dict[str, bytes] = {}
    for several in drawn.values():
        for each in several:
            figures |= each.files
    if not failures:
        directory.write(paths.REPORT_STAGE, figures)
    summary = RunSummary(
        title=title,
        date=datetime.now(UTC).isoformat(" ", "seconds"),
        config=flat(config),
        engine=engine.name,
        device=engine.device,
        versions=versions(),
        commit=commit(),
        digest=digest_of(directory.identity.get("data", {})),
        statistics=statistics(outcome.logs, outcome.truth),
        split_rule=outcome.logs.split_rule,
        rows=outcome.rows,
        tables=outcome.tables,
        losses=outcome.losses,
        stages=stages,
        warnings=[*remarks.warnings, *failures],
        notes=remarks.notes,
        files=_files(outcome),
        budgets=budgets(config),
    )
    write_atomically(directory.path / paths.REPORT, run_page(summary, drawn))
    return failures


def _results(
    engine: Engine,
    config: Config,
    outcome: Outcome,
    stages: Sequence[StageTime],
    remarks: Remarks,
) -> str:
    """The content of ``results.json``."""
    return results_json(
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
        versions=versions(),
        commit=commit(),
        warnings=list(remarks.warnings),
        notes=list(remarks.notes),
    )


def _drawn(config: Config, outcome: Outcome) -> tuple[dict[str, list[Drawn]], list[str]]:
    """The figures, and why there are none where drawing fails.

    Without the evaluation's tables there is one of the results alone.
    """
    if not config.evaluation.figures:
        return {}, []
    results = {"results": tables.assemble("results", tables.results(outcome.rows))}
    try:
        # Not at the top: Matplotlib takes a second, which runs without figures need not wait for.
        from gpu_coldstart.reporting.drawn import draw

        return draw(results | outcome.tables), []
    except Exception as error:  # whatever a drawing library may raise, the results are safe
        _LOG.info("drawing failed", exc_info=True)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return {}, [
            f"the figures could not be drawn ({reason}); all results are written, and the same "
            "command with --resume draws again"
        ]


def _files(outcome: Outcome) -> list[str]:
    """Files that the page points to at its end."""
    named = (paths.RESULTS_TEXT, paths.RESULTS, paths.CONFIG, paths.MANIFEST, paths.LOG)
    return [*named, *map(paths.csv, outcome.tables)]


def _size(logs: Logs) -> list[str]:
    """The size of the data, for ``results.md``."""
    return [
        f"{logs.n_warm} warm, {logs.n_validation} validation, {logs.n_test} test and "
        f"{logs.n_target} target users; "
        f"{logs.n_tracks} tracks, {len(logs.artist_ids)} artists, {len(logs.album_ids)} albums, "
        f"{len(logs.playlist_ids)} playlists",
        logs.split_rule,
    ]
