"""``gpu-coldstart doctor``: what is here, what that enables, and how to add the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import gpu_coldstart
from gpu_coldstart.cli import console
from gpu_coldstart.errors import EngineError, UserError
from gpu_coldstart.registry import DATASETS, ENGINES, MODELS, SPACES, STRATEGIES

__all__ = ["HELP", "SHORT", "doctor"]

SHORT = "Say what is installed here, what works, and how to add the rest."
HELP = """\
Say what is here: processor, memory and GPU; which engines can run, and why others cannot; which
extras are complete, what each is for, and the command that adds it; parts of other packages.
"""

_EXTRAS = {
    "cpu": "run, recommend, report",
    "serve": "serve, demo, load-store",
    "tune": "tune",
    "tensorboard": "run --track tensorboard",
    "mlflow": "run --track mlflow",
    "wandb": "run --track wandb",
    "audio": "artists",
    "spark": "run --engine spark",
    "docs": "make docs, the site of the documentation",
    "bench": "bench, against other libraries",
    "test": "the tests",
    "dev": "the tests, and checks of style and types",
}
"""What each is for. Which of those for a GPU fits the card, the CUDA engine says itself."""

_TOOLS = {
    "nvidia-smi": "comes with NVIDIA's driver",
    "g++": "the tests run CUDA kernels on the CPU with it: apt-get install g++",
    "java": "Apache Spark runs on it: apt-get install openjdk-17-jre-headless",
    "redis-server": "a store that services share: apt-get install redis-server",
}


def doctor() -> None:
    """Say what is here, one line after another."""
    for line in _lines():
        console.write(line)


def _lines() -> Iterator[str]:
    place = Path(gpu_coldstart.__file__).parent
    yield f"gpu_coldstart {gpu_coldstart.__version__} in {place}"
    yield f"Python {platform.python_version()}, {platform.platform()}"
    total, free = (_memory(name) for name in ("MemTotal", "MemAvailable"))
    yield f"{_processor()}, {os.cpu_count()} cores; {total} of memory, {free} of it free"
    yield "\nengines"
    for name in ENGINES.names():
        yield from _engine(name)
    yield "\nextras"
    yield from _extras()
    yield "\ntools"
    for tool, use in _TOOLS.items():
        yield f"  {tool:<13}{shutil.which(tool) or f'not found; {use}'}"
    for parts in (DATASETS, SPACES, MODELS, STRATEGIES, ENGINES):
        for name in parts.installed:
            package, version = parts.version(name) or ("a package", "unknown")
            yield f"\n{parts.kind} '{name}' is added by {package} {version}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory(name: str) -> str:
    """A line of ``/proc/meminfo`` in GB."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return f"{int(found[1]) / 2**20:.1f} GB" if found else "an unknown amount"


def _engine(name: str) -> Iterator[str]:
    """Whether an engine can run, and where it keeps what it compiles."""
    from gpu_coldstart.engine import choose

    try:
        engine, reason = choose(name)
    except EngineError as error:
        reason = getattr(error, "reason", str(error))
        yield f"  {name:<13}cannot run: {reason}"
    except UserError as error:
        yield f"  {name:<13}cannot run: {error}"
    else:
        yield f"  {name:<13}{reason.partition(': ')[2] if engine.device else 'can run'}"
        for place in engine.caches():
            yield f"  {'':<13}compiled code is kept in {place}"


def _extras() -> Iterator[str]:
    """Each extra, and what is missing of it."""
    try:
        requirements = importlib.metadata.requires("gpu-coldstart") or []
    except importlib.metadata.PackageNotFoundError:
        yield "  the package is not installed, so that its extras are not known: pip install ."
        return
    for extra, use in _EXTRAS.items():
        wanted = {
            re.split(r"[^\w.-]", each)[0]
            for each in requirements
            if re.search(rf"extra == ['\"]{extra}['\"]", each)
        }
        lacking = sorted(name for name in wanted if not _installed(name))
        if lacking:
            yield f"  {extra:<13}lacks {', '.join(lacking)}"
            yield f"  {'':<13}for {use}: pip install 'gpu-coldstart[{extra}]'"
        else:
            yield f"  {extra:<13}complete: {use}"


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
