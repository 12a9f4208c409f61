"""Parts of other packages: found, checked, configured and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from gpu_coldstart import registry
from gpu_coldstart.config.components import MlpConfig, Training
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import SPACES, STRATEGIES, Registry

ALL = [
    registry.SPACES,
    registry.MODELS,
    registry.STRATEGIES,
    registry.DATASETS,
]
"""All but the engines, of which one needs a GPU's libraries."""

PLUGIN = dedent(
    """
    from gpu_coldstart.config import Parameters


    class RandomSpace:
        name = "random-points"
        label = "Random Points"
        Parameters = Parameters

        @staticmethod
        def fit(engine, logs, parameters, seed, progress):
            raise NotImplementedError
    """
)
ENGINE = dedent(
    """
    from gpu_coldstart.engine.cpu.engine import CpuEngine


    class OtherCpu(CpuEngine):
        name = "other-cpu"
        label = "Other CPU"
    """
)

POINTS = {"spaces": "random-points = house:RandomSpace"}
ENGINES = {"engines": "other-cpu = house:OtherCpu"}


def install(
    directory: Path, points: dict[str, str], module: str = PLUGIN, package: str = "house-parts"
) -> Path:
    """A package as an installer leaves it."""
    about = directory / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (directory / "house.py").write_text(module)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = [f"[gpu_coldstart.{group}]\n{point}\n" for group, point in points.items()]
    (about / "entry_points.txt").write_text("\n".join(groups))
    return directory


@pytest.mark.parametrize("parts", ALL, ids=lambda parts: str(parts.kind))
def test_built_in_parts_are_what_they_are_called(parts: Registry) -> None:
    for name in parts.builtin:
        part = parts.get(name)
        assert part.name == name
        assert part.label
        assert all(hasattr(part, need) for need in parts._needs)


def test_names_import_nothing() -> None:
    code = (
        "import sys; from gpu_coldstart import registry as r; "
        "print(r.SPACES.names() + r.MODELS.names() + r.STRATEGIES.names(), "
        "'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" False False\n")
    assert "tt-svd" in done.stdout


@pytest.mark.parametrize(
    ("parts", "name", "hint"),
    [
        (SPACES, "tt-sdv", r"no space 'tt-sdv': did you mean tt-svd\?"),
        (STRATEGIES, "semmi", r"no strategy 'semmi': did you mean semi\?"),
        (SPACES, "word2vec", "no space 'word2vec': use one of tt-svd, ut-als"),
    ],
)
def test_an_unknown_name_comes_with_a_hint(parts: Registry, name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        parts.get(name)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import nowhere_at_all", r"cannot be imported \(ModuleNotFoundError"),
        ("class Other: pass", r"cannot be imported \(AttributeError"),
        ("class RandomSpace: name = 'random-points'", "has no label, Parameters, fit"),
        ("RandomSpace = 5", "is not a class|has no name"),
        (PLUGIN.replace('"random-points"', '"other"'), "calls itself 'other'"),
    ],
)
def test_a_broken_part_is_one_sentence(
    module: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, POINTS, module))
    monkeypatch.delitem(sys.modules, "house", raising=False)
    parts = Registry("space", "gpu_coldstart.spaces", {}, ("Parameters", "fit"))
    assert parts.names() == ("random-points",)
    with pytest.raises(UserError, match=reason) as refusal:
        parts.get("random-points")
    assert "of package 'house-parts'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("builtin", [{}, {"random-points": "house:RandomSpace"}])
def test_a_name_claimed_twice_is_refused(
    builtin: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ["house-parts"] if builtin else ["house-parts", "barn-parts"]:
        monkeypatch.syspath_prepend(install(tmp_path / package, POINTS, package=package))
    parts = Registry("space", "gpu_coldstart.spaces", builtin)
    assert parts.names() == ("random-points",)
    with pytest.raises(UserError, match=r"space 'random-points' is .*'house-parts'.*: uninstall"):
        parts.get("random-points")


@pytest.mark.parametrize(
    ("module", "points", "reason"),
    [
        (
            "    least: int\n",
            POINTS,
            "space 'random-points' of package 'house-parts' has parameters without a valid "
            "default (least)",
        ),
        (
            "    least: int\n",
            {"strategies": "random-points = house:RandomSpace"},
            "strategy 'random-points' of package 'house-parts' has parameters without a valid "
            "default (least)",
        ),
        (
            "    least: int = 1\n",
            {"models": "random-points = house:RandomSpace"},
            "model 'random-points' of package 'house-parts' has Parameters that do not extend "
            "Training",
        ),
    ],
)
def test_parameters_that_will_not_do_are_one_sentence(
    tmp_path: Path, module: str, points: dict[str, str], reason: str
) -> None:
    own = f"class Own(Parameters):\n{module}\n\nclass RandomSpace:"
    text = PLUGIN.replace("class RandomSpace:", own).replace("= Parameters", "= Own")
    text = text.replace(
        "    @staticmethod", "    State = recommend = build = None\n    @staticmethod"
    )
    code = "import sys; from gpu_coldstart.run import main; sys.exit(main(['--set', 'seed=1']))"
    places = [str(install(tmp_path, points, text)), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {reason}: fix, upgrade or uninstall it\n",
    )


def test_an_engine_of_another_package_is_chosen_and_offered(tmp_path: Path) -> None:
    code = (
        "from gpu_coldstart.cli import options; from gpu_coldstart.engine import choose; "
        "engine, reason = choose('other-cpu'); "
        "print(type(engine).__name__, reason, options.ENGINES)"
    )
    places = [
        str(install(tmp_path, ENGINES, ENGINE)),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    expected = "OtherCpu engine other-cpu: asked for ('auto', 'cpu', 'cuda', 'other-cpu')\n"
    assert done.stdout == expected, done.stderr


class Warming(Training):
    """A model's own parameter may begin with epochs."""

    epochs_warmup: int = 1
    epochs_tt_svd: int = 2


def test_only_epochs_of_other_spaces_are_unread() -> None:
    assert Warming.unread("tt-svd") == {"epochs"}
    assert Warming.unread("ut-als") == {"epochs_tt_svd"}


def test_epochs_in_a_space_of_another_package() -> None:
    parameters = MlpConfig(epochs=7, epochs_tt_svd=8, epochs_ut_als=9)
    assert [parameters.epochs_in(name) for name in ("random-points", "tt-svd", "ut-als")] == [
        7,
        8,
        9,
    ]
