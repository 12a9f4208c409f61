"""Checks the CUDA engine on this machine's GPU, step by step, and writes all to one JSON file.

It needs the standard library alone, and a checkout: nothing of the project has to be installed. The
file is written anew after each step, so that whatever breaks it off costs no more than that step.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.readings import (
    METRICS,
    content,
    counts,
    environment,
    kernels,
    memory,
    output,
    visible_gpu,
)

ROOT = Path(__file__).resolve().parents[1]

NEEDED = (
    "cupy", "faiss", "hypothesis", "jinja2", "matplotlib", "numba", "numpy", "onnx", "pandas",
    "pyarrow", "pydantic", "pytest", "rich", "safetensors", "scipy", "sklearn", "threadpoolctl",
    "tomli_w", "torch", "typer", "xdist",
)  # fmt: skip
"""Modules without which no step comes far; the engine itself says whether its card needs more."""

KERNELS = "|".join(sorted(path.stem for path in (ROOT / "kernels").glob("*.cu")))
"""Beginnings of the names of our kernels."""

_EPILOG = """\
environment variables; paths are seen from the repository's root:
  PYTHON  interpreter with the packages of gpu_coldstart[cuda13,test] or its like (the active
          environment's; else .venv-cuda/bin/python, which `make .venv-cuda/.cuda13` sets up;
          else python3)
  OUT     takes the JSON (bench/results)
  WORK    takes tables, runs and logs (runs/gpu-check/<date and time>); steps that have passed
          there are not done again
  COMMIT  what is checked out, where git cannot tell
  CUDA_VISIBLE_DEVICES  the first it names is the GPU that is looked at (0); of a slice (MIG), the
          whole GPU

exit status: 0 every step passed, 1 a step failed, 2 nothing was done: no GPU, a package missing, or
a wrong option
"""

_LOG_LINES = 30

_RUNS = "tests/test_gpu_flow.py"

_MOST = (
    "tests",
    f"--ignore={_RUNS}",  # whose runs each process would make anew
    # Both need packages that nothing on a card does.
    "--ignore=tests/service",
    "--ignore=gpu_coldstart/service",
    "--ignore=tests/test_docker.py",
    f"--numprocesses={min(12, os.cpu_count() or 1)}",
)
"""Options by which pytest does most tests, in processes that share the card."""


@dataclass(frozen=True)
class Step:
    """One command of the check.

    Attributes
    ----------
    what : str
        One line for ``--help``.
    words : callable (work, out, preset) -> list of str
        The command.
    limit : int
        Seconds after which it is stopped and has failed.
    needs : str or None
        The step it takes its data from, which is done first.
    asked : bool
        Only done where it is named.
    surroundings : dict of str to str
        Environment variables.
    """

    what: str
    words: Callable[[Path, Path, str], list[str]]
    limit: int
    needs: str | None = None
    asked: bool = False
    surroundings: dict[str, str] = field(default_factory=dict)


def _flow(name: str, preset: str | None, *options: str) -> Callable[[Path, Path, str], list[str]]:
    """The whole flow on a synthetic world, or on the tables of the step of that name."""

    def words(work: Path, out: Path, paper: str) -> list[str]:
        data = ["--preset", preset] if preset else ["--preset", paper, "--dataset", "events"]
        data += [] if preset else ["--data", str(work / "tables")]
        run = [sys.executable, "-m", "gpu_coldstart.run", "--engine", "cuda", "--resume"]
        return [*run, *data, "--out", str(work / name), *options]

    return words


def _pytest(name: str, *options: str) -> Callable[[Path, Path, str], list[str]]:
    """The tests marked gpu."""

    def words(work: Path, out: Path, preset: str) -> list[str]:
        test = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider"]
        return [*test, f"--junitxml={work / name}.xml", *options]

    return words


def _sanitized(tool: str) -> Step:
    # Without PyTorch's cache each array is an allocation of its own, and memcheck sees its ends.
    before = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "99"]
    words = _pytest(tool, "tests/test_gpu.py")
    return Step(
        f"the kernels' tests under compute-sanitizer's {tool}",
        lambda *given: [*before, "--target-processes", "all", *words(*given)],
        limit=900,
        asked=True,
        surroundings={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "GPU_TEST_PRESET": "tiny"},
    )


def _tables(work: Path, out: Path, preset: str) -> list[str]:
    make = [sys.executable, "-m", "gpu_coldstart.cli.main", "data", "synthetic"]
    return [*make, "--preset", preset, "--out", str(work / "tables")]


def _bench(work: Path, out: Path, preset: str) -> list[str]:
    measure = [sys.executable, "-m", "bench", "run", "--engine", "cuda", "--rounds", "3"]
    data = ["--tables", str(work / "tables")] if preset == "paper" else []  # else of another size
    return [*measure, *data, "--limit", "20", "--out", str(free_name(out, f"{work.name}-bench"))]


def _ncu(work: Path, out: Path, preset: str) -> list[str]:
    short = [f"--set=mlp.epochs_{space}=1" for space in ("tt_svd", "ut_als")]
    flow = _flow("ncu-run", None, *short)(work, out, preset)
    watch = ["ncu", "--nvtx", "--target-processes=all", "--launch-count=1500"]
    which = [f"--kernel-name=regex:^({KERNELS})", f"--metrics={','.join(METRICS)}"]
    return [*watch, *which, "--csv", "--page=raw", *flow]


STEPS = {
    "smoke": Step("the flow on the tiny world", _flow("smoke", "tiny"), limit=150),
    "flow-small": Step("the flow on the small world", _flow("flow-small", "small"), limit=150),
    "tests": Step("the tests marked gpu, but for whole runs", _pytest("tests", *_MOST), limit=300),
    "tables": Step("synthetic tables of the paper's size", _tables, limit=300),
    "flow-paper": Step(
        "the flow at the paper's size", _flow("flow-paper", None), limit=400, needs="tables"
    ),
    "run-tests": Step(
        "whole runs, against the CPU engine's", _pytest("run-tests", _RUNS), limit=600
    ),
    "flow-8GB": Step(
        "the same below 8 GB of GPU memory",
        _flow("flow-8GB", None, "--memory-budget", "8GB"),
        limit=400,
        needs="tables",
    ),
    "bench": Step("the benchmarks, ours and the rivals'", _bench, limit=900, needs="tables"),
    "ncu": Step("our kernels' times and traffic, by Nsight Compute", _ncu, 300, needs="tables"),
    "memcheck": _sanitized("memcheck"),
    "racecheck": _sanitized("racecheck"),
}
"""In the order they are done: what proves most in least time comes first."""


@contextmanager
def _watched(gpu: str, samples: Path) -> Iterator[None]:
    """The GPU's memory and utilisation, sampled five times a second."""
    query = ["--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits"]
    with samples.open("w") as file:
        watcher = subprocess.Popen(
            ["nvidia-smi", f"--id={gpu}", *query, "--loop-ms=200"],
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            watcher.terminate()
            watcher.wait()


def _do(words: list[str], log: Path, limit: float, surroundings: dict[str, str]) -> str | None:
    """Run a command with its output in a log; returns why it failed, or None."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    given = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | surroundings
    with log.open("w") as file:
        process = subprocess.Popen(
            words, cwd=ROOT, env=given, stdout=file, stderr=file, start_new_session=True
        )
        try:
            status = process.wait(limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"it was not done after {limit:g} s"
    return f"exit status {status}" if status else None


def do(name: str, *, work: Path, out: Path, preset: str, gpu: str, most: float) -> dict[str, Any]:
    """Do a step; returns what the JSON file says of it."""
    step, logs = STEPS[name], out / "logs"
    logs.mkdir(exist_ok=True)
    words = step.words(work, out, preset)
    if shutil.which(words[0]) is None:
        return {"name": name, "status": "skipped", "reason": f"{words[0]} is not on PATH"}
    log, start = logs / f"{name}.log", time.monotonic()
    (work / f"{name}.xml").unlink(missing_ok=True)  # of a try before this one
    with _watched(gpu, work / f"{name}.memory.csv"):
        reason = _do(words, log, min(step.limit, most), step.surroundings)
    entry: dict[str, Any] = {
        "name": name,
        "status": "failed" if reason else "passed",
        "seconds": round(time.monotonic() - start, 1),
        "command": " ".join(words),
    }
    told = log.read_text(encoding="utf-8", errors="replace")
    if reason:
        entry |= {"reason": reason, "end_of_log": told.splitlines()[-_LOG_LINES:]}
    tests = counts(work / f"{name}.xml")
    if tests is not None:
        entry["tests"] = tests
        if not reason and tests["passed"] == 0:
            entry |= {"status": "failed", "reason": "no test ran: why_skipped tells why"}
    if name == "ncu":
        entry["kernels"] = kernels(told)
    results = content(work / name / "results.json")
    if results is not None and not reason:
        stages = results.get("stages", [])
        entry["flow"] = {
            "seconds_in_stages": round(sum(stage["seconds"] for stage in stages), 3),
            "peak_gpu_mb_of_stages": max((s.get("peak_gpu_mb", 0.0) for s in stages), default=None),
            "whole_card": memory((work / f"{name}.memory.csv").read_text()),
            "results": results,
        }
    return entry


def free_name(out: Path, stem: str) -> Path:
    """``<stem>.json`` in ``out``, with a number where that is taken."""
    path, number = out / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = out / f"{stem}-{number}.json"
    return path


def _refusal(gpu: str) -> str | None:
    """Why nothing can be done here."""
    if not output("nvidia-smi", f"--id={gpu}", "--query-gpu=name", "--format=csv,noheader"):
        return (
            f"nvidia-smi finds no NVIDIA GPU here, or none called {gpu}: run this on a machine "
            "that has one, with its driver"
        )
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"{sys.executable} lacks {', '.join(missing)}: pip install "
            "'gpu-coldstart[cuda13,test]' (docs/gpu.md), or set PYTHON to another interpreter"
        )
    return None


def chosen(names: str | None) -> list[str]:
    """The steps to do, in order, with those they need."""
    if names is None:
        return [name for name, step in STEPS.items() if not step.asked]
    asked = set(names.split(","))
    unknown = asked - set(STEPS)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no step is called {', '.join(sorted(unknown))}: use some of {', '.join(STEPS)}"
        )
    asked |= {need for name in asked if (need := STEPS[name].needs)}
    return [name for name in STEPS if name in asked]


def _parser() -> argparse.ArgumentParser:
    wide = max(map(len, STEPS))
    listed = "\n".join(
        f"  {name:<{wide}}  {step.what}{' (only where named)' if step.asked else ''}"
        for name, step in STEPS.items()
    )
    parser = argparse.ArgumentParser(
        prog="bench/gpu_check.sh",
        description=__doc__,
        epilog=f"steps:\n{listed}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--steps", type=chosen, default=chosen(None), metavar="NAME,NAME...")
    parser.add_argument("--preset", default="paper", help="size of the tables (paper)")
    parser.add_argument(
        "--limit", type=float, default=float("inf"), help="seconds, where a step's own are more"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    gpu = visible_gpu()
    reason = _refusal(gpu)
    if reason:
        sys.stderr.write(f"error: {reason}\n")
        return 2
    date = datetime.now(UTC).isoformat(timespec="seconds")
    out = ROOT / os.environ.get("OUT", "bench/results")
    work = ROOT / os.environ.get("WORK", f"runs/gpu-check/{date.replace(':', '')[:17]}")
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    kept = work / "steps.json"
    done: dict[str, dict[str, Any]] = content(kept) or {}
    surroundings = environment(gpu)
    card = re.sub(r"[^a-z0-9]+", "-", (surroundings["gpu"] or "gpu").lower()).strip("-")
    path = free_name(out, f"{date[:10]}-{card}")
    for name in options.steps:
        sys.stdout.write(f"{name:<12}")
        sys.stdout.flush()
        if done.get(name, {}).get("status") != "passed":
            done[name] = do(
                name, work=work, out=out, preset=options.preset, gpu=gpu, most=options.limit
            )
        told = done[name]
        sys.stdout.write(f"{told['status']}: {told.get('reason') or told['seconds']}\n")
        kept.write_text(json.dumps(done))
        result = {
            "date": date,
            "passed": all(entry["status"] != "failed" for entry in done.values()),
            "preset": options.preset,
            "environment": surroundings,
            "steps": list(done.values()),
        }
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = [name for name in options.steps if done[name]["status"] == "failed"]
    summary = f"failed: {', '.join(failed)}" if failed else "every step that ran passed"
    sys.stdout.write(f"{summary}; written to {path}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
