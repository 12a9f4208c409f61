"""Where a run's files are."""

from __future__ import annotations

import re

__all__ = [
    "CHECKPOINT",
    "CONFIG",
    "LOCK",
    "LOG",
    "LOGS",
    "MANIFEST",
    "REPORT",
    "REPORT_STAGE",
    "RESULTS",
    "RESULTS_STAGE",
    "RESULTS_TEXT",
    "TIMES",
    "TRUTH",
    "VOLATILE",
    "analysed",
    "carousel",
    "checkpoint",
    "csv",
    "curve",
    "descriptions",
    "examples",
    "favourites",
    "figure",
    "measured_by",
    "measures",
    "network",
    "predictions",
    "ranking",
    "segments",
    "space",
    "state",
]

MANIFEST = "manifest.json"
CONFIG = "config.toml"
LOCK = "run.lock"
LOG = "run.log"
TIMES = "times.json"
RESULTS = "results.json"
RESULTS_TEXT = "results.md"
REPORT = "report.html"

RESULTS_STAGE = "results"
REPORT_STAGE = "report"
"""The last two stages: what there is to read, and what is drawn of it."""

VOLATILE = (RESULTS, REPORT, TIMES, LOG)
"""Files that record when a run took place and how long; they differ from run to run."""

LOGS = "artifacts/logs.safetensors"
TRUTH = "artifacts/truth.safetensors"
CHECKPOINT = ".checkpoint"
"""Suffix of a file that holds a stage's progress until the stage is done."""

_MEASURES = re.compile(r"artifacts/(?P<space>[^/]+)/(?P<strategy>[^/]+)\.measures\.parquet")


def space(name: str) -> str:
    """The tracks and warm users of a space."""
    return f"artifacts/{name}/space.safetensors"


def segments(name: str) -> str:
    """The segments of a space."""
    return f"artifacts/{name}/segments.safetensors"


def descriptions(name: str) -> str:
    """What is known of each segment's members."""
    return f"artifacts/{name}/segments.parquet"


def favourites(name: str) -> str:
    """Each segment's most popular tracks."""
    return f"artifacts/{name}/segments.tracks.parquet"


def network(name: str) -> str:
    """The weights of a space's network."""
    return f"artifacts/{name}/network.safetensors"


def curve(name: str) -> str:
    """How the training of a space's network went."""
    return f"artifacts/{name}/network.json"


def predictions(name: str, *, warm: bool = False) -> str:
    """Where the network puts the cold users, or the warm ones."""
    return f"artifacts/{name}/predictions{'.warm' if warm else ''}.safetensors"


def measures(name: str, strategy: str) -> str:
    """Each test user's measures under a strategy."""
    return f"artifacts/{name}/{strategy}.measures.parquet"


def measured_by(path: str) -> tuple[str, str] | None:
    """The space and strategy of a file of measures; None for any other file.

    Examples
    --------
    >>> measured_by(measures("tt-svd", "semi"))
    ('tt-svd', 'semi')
    """
    match = _MEASURES.fullmatch(path)
    return None if match is None else (match["space"], match["strategy"])


def state(name: str, strategy: str) -> str:
    """What a strategy has learned of its own."""
    return f"artifacts/{name}/{strategy}.state.safetensors"


def ranking(name: str, strategy: str) -> str:
    """The tracks that a strategy recommends."""
    return f"recommendations/{name}/{strategy}.parquet"


def examples(name: str) -> str:
    """Some test users up close."""
    return f"artifacts/{name}/examples.parquet"


def carousel(name: str, arm: str) -> str:
    """The playlists that an arm of the replay shows."""
    return f"recommendations/{name}/carousel-{arm}.parquet"


def analysed(table: str) -> str:
    """A table of the evaluation."""
    return f"artifacts/analysis/{table}.parquet"


def csv(table: str) -> str:
    """The same table for people."""
    return f"tables/{table}.csv"


def figure(name: str, kind: str) -> str:
    """A drawing as a file of a kind, ``svg`` or ``png``."""
    return f"figures/{name}.{kind}"


def checkpoint(stage: str) -> str:
    """Where a stage keeps its progress until it is done."""
    return f"artifacts/{stage}{CHECKPOINT}"
