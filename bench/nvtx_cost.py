"""What a profiler's range costs when no profiler is attached, as JSON, in nanoseconds.

``python bench/nvtx_cost.py`` measures a bare call, a decorated one and the context manager, in one
process that has the package ``nvtx`` and in one that does not; beside them what ``nvtx.annotate``
would cost. Each figure is the least of several repeats, so that other work on the machine counts
as little as it can.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import timeit
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CALLS = 200_000


def costs(repeats: int) -> dict[str, float]:
    """Nanoseconds of a call of each kind, in this process."""
    from gpu_coldstart import profiling

    def bare() -> None:
        return

    decorated = profiling.annotated(bare, "cost")
    held = profiling.kernel("held")

    def looked_up_range() -> None:
        with profiling.kernel("cost"):
            return

    def held_range() -> None:
        with held:
            return

    kinds: dict[str, Callable[[], None]] = {
        "bare call": bare,
        "decorated": decorated,
        "with profiling.kernel(name)": looked_up_range,
        "with a range held in a variable": held_range,
    }
    kinds |= _of_nvtx(bare)
    return {
        kind: round(min(timeit.repeat(call, number=CALLS, repeat=repeats)) / CALLS * 1e9, 1)
        for kind, call in kinds.items()
    }


def _of_nvtx(bare: Callable[[], None]) -> dict[str, Callable[[], None]]:
    """The same by the package's own means, where it is there."""
    try:
        from nvtx import annotate
    except ImportError:
        return {}

    def annotated_range() -> None:
        with annotate("cost", domain="gpu_coldstart.cost"):
            return

    return {
        "nvtx.annotate as a decorator": annotate("cost", domain="gpu_coldstart.cost")(bare),
        "with nvtx.annotate(name)": annotated_range,
    }


def _elsewhere(repeats: int, *, nvtx: bool) -> dict[str, float]:
    """The costs in a process of their own."""
    command = [sys.executable, __file__, "--here", f"--repeats={repeats}"]
    if not nvtx:
        command.append("--without")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _processor() -> str:
    """Name of the processor, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "unknown")


def main() -> None:
    """Measure in both processes and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="the least of how many (15)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--without", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.without:
        # The documented way to make an import fail; its stub allows modules only.
        sys.modules["nvtx"] = None  # type: ignore[assignment]
    if options.here:
        sys.stdout.write(json.dumps(costs(options.repeats)))
        return
    try:
        found: str | None = version("nvtx")
    except PackageNotFoundError:
        found = None
    result = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "nvtx": found,
        "profiler attached": "NVTX_INJECTION64_PATH" in os.environ,
        "calls": CALLS,
        "repeats": options.repeats,
        "nanoseconds without nvtx": _elsewhere(options.repeats, nvtx=False),
    }
    if found is not None:
        result["nanoseconds with nvtx"] = _elsewhere(options.repeats, nvtx=True)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
