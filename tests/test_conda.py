"""The conda recipe asks for what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import gpu_coldstart

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
CONDA = {
    "matplotlib": "matplotlib-base",
    "prometheus-client": "prometheus_client",
    "redis": "redis-py",
    "soundfile": "pysoundfile",
    "torch": "pytorch",
    "uvicorn[standard]": "uvicorn-standard",
}
"""What conda-forge calls packages that have another name on PyPI."""

BESIDE = ("serve", "tune", "audio", "spark", "tensorboard", "mlflow", "wandb")
"""Extras of which conda can only say which versions they bear."""


def wanted(*requirements: str) -> list[str]:
    """Requirements of pip as conda writes them; those of extras of ours are followed."""
    found = []
    for requirement in requirements:
        if extra := re.fullmatch(r"gpu-coldstart\[(\w+)\]", requirement):
            found += wanted(*PROJECT["optional-dependencies"][extra[1]])
            continue
        name, versions = re.fullmatch(r"([\w.-]+(?:\[\w+\])?)(.*)", requirement).groups()  # type: ignore[union-attr]
        found.append(f"{CONDA.get(name, name)} {versions}")
    return sorted(found)


def test_it_runs_on_what_the_package_and_a_cpu_need() -> None:
    run = RECIPE["requirements"]["run"]
    assert {"__linux", "python >=${{ python_min }}"} < set(run)
    ours = [each for each in run if not each.startswith(("__", "python "))]
    assert sorted(ours) == wanted(*PROJECT["dependencies"], "gpu-coldstart[cpu]")


def test_what_is_installed_beside_has_the_extras_ranges() -> None:
    extras = (f"gpu-coldstart[{extra}]" for extra in BESIDE)
    assert sorted(RECIPE["requirements"]["run_constraints"]) == wanted(*extras)


def test_name_version_python_and_commands() -> None:
    assert RECIPE["package"] == {"name": PROJECT["name"], "version": "${{ version }}"}
    assert RECIPE["context"]["version"] == gpu_coldstart.__version__
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]
    points = dict(each.split(" = ") for each in RECIPE["build"]["python"]["entry_points"])
    assert points == PROJECT["scripts"]
    about = RECIPE["about"]
    assert (about["summary"], about["license"]) == (PROJECT["description"], PROJECT["license"])


def test_it_is_built_by_what_the_wheel_is_built_by() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert set(wanted(*build["requires"])) < set(RECIPE["requirements"]["host"])
