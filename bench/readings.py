"""What ``bench/gpu_check.sh`` reads: the machine, and what tests, samples and profilers report.

It needs the standard library alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "METRICS",
    "PACKAGES",
    "content",
    "counts",
    "environment",
    "kernels",
    "memory",
    "output",
    "visible_gpu",
]

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

METRICS = {
    "gpu__time_duration.sum": "ns",
    "dram__bytes.sum": "bytes",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "memory_percent",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "arithmetic_percent",
}
"""What ncu measures of each launch, in one pass; and what that is called here."""

_FIELDS = ("name", "driver_version", "memory.total", "compute_cap")


def visible_gpu() -> str:
    """What ``nvidia-smi --id`` takes for the first GPU that CUDA may use.

    ``CUDA_VISIBLE_DEVICES`` may name a slice of a GPU (MIG), which ``--id`` does not know, or begin
    a UUID: the UUID of the whole GPU is looked up.
    """
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    if name.startswith(("GPU-", "MIG-")):
        whole = name
        for line in (output("nvidia-smi", "-L") or "").splitlines():
            uuid = line.rpartition("UUID: ")[2].rstrip(")")
            if line.startswith("GPU "):  # its slices follow
                whole = uuid
            if uuid.startswith(name):
                return whole
    return name


def environment(gpu: str) -> dict[str, Any]:
    """GPU, driver, Python, versions of libraries, and the commit that is checked out.

    Parameters
    ----------
    gpu : str
        Index or UUID, as ``nvidia-smi --id`` takes it.
    """
    query = f"--query-gpu={','.join(_FIELDS)}"
    line = output("nvidia-smi", f"--id={gpu}", query, "--format=csv,noheader,nounits")
    name, driver, memory, capability = [part.strip() for part in (line or ",,,").split(",")]
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "gpu": name or None,
        "driver": driver or None,
        "gpu_memory_mb": float(memory) if memory.replace(".", "").isdigit() else None,
        "compute_capability": capability or None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {library: _installed(names) for library, names in PACKAGES.items()},
        "commit": output("git", "rev-parse", "HEAD") or os.environ.get("COMMIT"),
        "changed_since_commit": None if changed is None else bool(changed),
    }


def output(*command: str) -> str | None:
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


def memory(samples: str) -> dict[str, float | int | None]:
    """Of ``nvidia-smi``'s samples: the first and the largest memory in use, the mean utilisation.

    They speak of the whole card, whoever uses it; the run's own stages tell what it allocated. What
    the driver does not tell, as a sliced card's utilisation ("[N/A]"), is None.
    """
    used = [int(found) for found in re.findall(r"^\s*(\d+)\s*,", samples, re.MULTILINE)]
    busy = [int(found) for found in re.findall(r",\s*(\d+)\s*$", samples, re.MULTILINE)]
    return {
        "samples": len(used),
        "before_mb": used[0] if used else None,
        "peak_mb": max(used, default=None),
        "mean_utilisation_percent": round(sum(busy) / len(busy), 1) if busy else None,
    }


def kernels(report: str) -> dict[str, dict[str, float]]:
    """Of ncu's table: launches of each kernel, their time, traffic, and shares of the card's peak.

    The shares are means weighted by time.
    """
    lines = report.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    found: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO("\n".join(lines[start:]))):
        try:
            values = [float((row.get(name) or "").replace(",", "")) for name in METRICS]
        except ValueError:  # the row of units
            continue
        ns, traffic, *shares = values
        total = found.setdefault(
            row["Kernel Name"].partition("(")[0],
            {"launches": 0, **dict.fromkeys(METRICS.values(), 0.0)},
        )
        total["launches"] += 1
        total["ns"] += ns
        total["bytes"] += traffic
        for name, share in zip(("memory_percent", "arithmetic_percent"), shares, strict=True):
            total[name] += (share - total[name]) * ns / max(total["ns"], 1.0)
    return found


def content(path: Path) -> Any:
    """Content of a JSON file; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
