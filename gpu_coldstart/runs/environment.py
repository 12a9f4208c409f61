"""The versions of what results may depend on, and the commit of a checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpu_coldstart import __file__ as _init
from gpu_coldstart import __version__
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.registry import DATASETS, ENGINES, MODELS, SPACES, STRATEGIES

__all__ = ["commit", "versions", "versions_of_run"]

_CHECKOUT = Path(_init).parents[1]

_LIBRARIES = (
    "numpy", "scipy", "pyarrow", "torch", "faiss-cpu", "numba", "matplotlib",
    "faiss-gpu", "faiss-gpu-cuvs", "cupy-cuda12x", "cupy-cuda13x",
    "cudf-cu12", "cudf-cu13", "cuml-cu12", "cuml-cu13", "nvtx",
)  # fmt: skip
"""What results may depend on; only what is installed is named."""


def versions() -> dict[str, str]:
    """Versions by name: Python's, this package's, and those of the libraries installed."""
    return {
        "python": platform.python_version(),
        "gpu-coldstart": __version__,
        **{name: found for name in _LIBRARIES if (found := _installed(name)) is not None},
    }


@cache
def _installed(name: str) -> str | None:
    """A package's version, for which its description has to be parsed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions_of_run(config: Config, engine: str) -> dict[str, str]:
    """Those of :func:`versions`, and of the packages whose parts a run uses."""
    used = [(DATASETS, config.dataset), (MODELS, config.model), (ENGINES, engine)]
    used += [(SPACES, name) for name in config.spaces]
    used += [(STRATEGIES, name) for name in config.strategies.names]
    packages = [parts.version(name) for parts, name in used]
    return versions() | dict(package for package in packages if package is not None)


def commit(checkout: Path = _CHECKOUT) -> str:
    """The commit of the code, where it runs from a checkout.

    Parameters
    ----------
    checkout : Path
        Has ``.git`` if it is one; what merely lies somewhere in another repository, such as an
        environment in which the package is installed, has not.

    Returns
    -------
    str
        Its hash, with ``-dirty`` where files have been changed since; "" outside a checkout, and
        where there is no Git that reads it.
    """
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"],  # of all tags, so that it is the hash
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},  # only to look
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
