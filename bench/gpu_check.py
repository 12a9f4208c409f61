"""The parts of ``bench/gpu_check.sh`` that make JSON; it needs nothing but the standard library.

``environment`` writes what machine and packages there are; ``assemble`` makes one file out of what
the steps left in the work folder, prints where it is, and exits with 1 if a step failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = {
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cudf": ("cudf-cu13", "cudf-cu12", "cudf"),
    "cuml": ("cuml-cu13", "cuml-cu12", "cuml"),
    "faiss": ("faiss-gpu-cuvs", "faiss-gpu", "faiss-cpu", "faiss"),
    "torch": ("torch",),
    "rmm": ("rmm-cu13", "rmm-cu12", "rmm"),
    "nvtx": ("nvtx",),
    "numpy": ("numpy",),
    "gpu_coldstart": ("gpu-coldstart",),
}
"""Under which names each library is distributed."""

_FIELDS = ("name", "driver_version", "memory.total", "compute_cap")
_LOG_LINES = 30


def environment(gpu: str) -> dict[str, Any]:
    """GPU, driver, Python, versions of libraries, and the commit that is checked out.

    Parameters
    ----------
    gpu : str
        Index or UUID, as ``nvidia-smi --id`` takes it.
    """
    query = f"--query-gpu={','.join(_FIELDS)}"
    line = _output("nvidia-smi", f"--id={gpu}", query, "--format=csv,noheader,nounits")
    name, driver, memory, capability = [part.strip() for part in (line or ",,,").split(",")]
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "gpu": name or None,
        "driver": driver or None,
        "gpu_memory_mb": float(memory) if memory.replace(".", "").isdigit() else None,
        "compute_capability": capability or None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {library: _installed(names) for library, names in PACKAGES.items()},
        "commit": _output("git", "rev-parse", "HEAD"),
        "changed_since_commit": None if changed is None else bool(changed),
    }


def _output(*command: str) -> str | None:
    """What a command says, or None where it cannot."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _installed(names: Sequence[str]) -> dict[str, str]:
    """Distribution and version of each of the names that is installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def steps(work: Path) -> list[dict[str, Any]]:
    """What ``steps.tsv`` tells, and the end of the log of what failed."""
    with (work / "steps.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = []
    for name, status, seconds, words in rows:
        if status == "skipped":
            found.append({"name": name, "status": "skipped", "reason": words})
            continue
        entry: dict[str, Any] = {
            "name": name,
            "status": "failed" if int(status) else "passed",
            "exit_status": int(status),
            "seconds": int(seconds),
            "command": words,
        }
        if int(status):
            log = (work / f"{name}.log").read_text(encoding="utf-8", errors="replace")
            entry["end_of_log"] = log.splitlines()[-_LOG_LINES:]
        found.append(entry)
    return found


def counts(report: Path) -> dict[str, Any] | None:
    """Numbers of tests of a JUnit file and the names of those that failed; None without one."""
    try:
        root = ET.parse(report).getroot()
    except (OSError, ET.ParseError):
        return None
    cases = list(root.iter("testcase"))
    kinds = {
        kind: [case for case in cases if case.find(kind) is not None]
        for kind in ("failure", "error", "skipped")
    }
    other = sum(map(len, kinds.values()))
    return {
        "passed": len(cases) - other,
        "failed": len(kinds["failure"]),
        "errors": len(kinds["error"]),
        "skipped": len(kinds["skipped"]),
        "names_of_failed": [
            f"{case.get('classname')}::{case.get('name')}"
            for case in (*kinds["failure"], *kinds["error"])
        ],
        "why_skipped": sorted(
            {skipped.get("message") or "" for case in cases for skipped in case.iter("skipped")}
        ),
    }


def memory(samples: Path) -> dict[str, float | int | None]:
    """Of ``nvidia-smi``'s samples: the first and the largest memory in use, the mean utilisation.

    They speak of the whole card, whoever uses it; the run's own stages tell what it allocated.
    """
    try:
        lines = samples.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    pairs = [re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", line) for line in lines]
    used = [int(pair[1]) for pair in pairs if pair]
    busy = [int(pair[2]) for pair in pairs if pair]
    if not used:
        return {"samples": 0, "before_mb": None, "peak_mb": None, "mean_utilisation_percent": None}
    return {
        "samples": len(used),
        "before_mb": used[0],
        "peak_mb": max(used),
        "mean_utilisation_percent": round(sum(busy) / len(busy), 1),
    }


def assemble(work: Path, preset: str) -> dict[str, Any]:
    """Everything the steps left, as one value."""
    done = steps(work)
    tests = {name: counts(work / f"{name}.xml") for name in ("tests", "memcheck", "racecheck")}
    for entry in done:
        counted = tests.get(entry["name"])
        if entry["status"] == "passed" and counted is not None and counted["passed"] == 0:
            entry |= {"status": "failed", "reason": "no test ran: why_skipped tells why"}
    flows = {}
    for name in ("run", "run-below-8GB"):
        results = _json(work / name / "results.json")
        if results is None:
            continue
        stages = results.get("stages", [])
        flows[name] = {
            "seconds_in_stages": round(sum(stage["seconds"] for stage in stages), 3),
            "peak_gpu_mb_of_stages": max((s.get("peak_gpu_mb", 0.0) for s in stages), default=None),
            "whole_card": memory(work / f"{name}.memory.csv"),
            "results": results,
        }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": all(entry["status"] != "failed" for entry in done),
        "preset": preset,
        "environment": _json(work / "environment.json"),
        "steps": done,
        "tests": {
            name: counts(work / f"{name}.xml") for name in ("tests", "memcheck", "racecheck")
        },
        "flows": flows,
    }


def _json(path: Path) -> Any:
    """Content of a JSON file; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def free_name(out: Path, result: dict[str, Any]) -> Path:
    """``<date>-<gpu>.json`` in ``out``, with a number where that is taken."""
    gpu = (result["environment"] or {}).get("gpu") or "gpu"
    stem = f"{result['date'][:10]}-{re.sub(r'[^a-z0-9]+', '-', gpu.lower()).strip('-')}"
    path, number = out / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = out / f"{stem}-{number}.json"
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    reporting = commands.add_parser("environment")
    reporting.add_argument("--gpu", default="0")
    reporting.add_argument("--to", type=Path, required=True)
    assembling = commands.add_parser("assemble")
    assembling.add_argument("--work", type=Path, required=True)
    assembling.add_argument("--out", type=Path, required=True)
    assembling.add_argument("--preset", required=True)
    options = parser.parse_args(arguments)
    if options.command == "environment":
        options.to.write_text(json.dumps(environment(options.gpu), indent=1) + "\n")
        return 0
    result = assemble(options.work, options.preset)
    path = free_name(options.out, result)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = [entry["name"] for entry in result["steps"] if entry["status"] == "failed"]
    told = f"failed: {', '.join(failed)}" if failed else "every step that ran passed"
    sys.stdout.write(f"{told}; written to {path}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
