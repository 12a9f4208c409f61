"""Parts of other packages: found, checked, configured and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest

from gpu_coldstart import registry
from gpu_coldstart.config.components import MlpConfig
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
    from typing import Literal

    import torch

    from gpu_coldstart.config import Parameters, Training
    from gpu_coldstart.spaces import Space, unit_rows
    from gpu_coldstart.strategies import Ranking, Strategy


    class RandomParameters(Parameters):
        dimension: int = 4


    class RandomSpace:
        name = "random-points"
        label = "Random Points"
        Parameters = RandomParameters

        @staticmethod
        def fit(engine, logs, parameters, seed, progress):
            xp = engine.xp
            angles = xp.arange(logs.n_tracks * parameters.dimension) * (seed + 1.7)
            tracks = xp.cos(angles).reshape(logs.n_tracks, -1).astype(xp.float32)
            progress(1, 1, "drawn")
            return Space("random-points", tracks, unit_rows(engine.pool(logs.history, tracks)))


    class Linear(torch.nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.layer = torch.nn.Linear(inputs, outputs)

        def forward(self, vectors):
            return self.layer(vectors)


    class LinearModel:
        name = "linear"
        label = "Linear"
        Parameters = Training

        @staticmethod
        def build(engine, inputs, outputs, parameters, *, training=False):
            return Linear(inputs, outputs)


    class ReversedParameters(Parameters):
        order: Literal["chart", "reversed"] = "reversed"


    class ReversedChart(Strategy):
        name = "reversed-chart"
        label = "Reversed Chart"
        Parameters = ReversedParameters

        def recommend(self, users, k):
            chart = self.context.most_popular(len(users), k)
            if self.parameters.order == "chart":
                return chart
            return Ranking(chart.tracks[:, ::-1], -chart.scores[:, ::-1])
    """
)

POINTS = {
    "spaces": "random-points = house:RandomSpace",
    "models": "linear = house:LinearModel",
    "strategies": "reversed-chart = house:ReversedChart",
}


def install(directory: Path, points: dict[str, str], module: str = PLUGIN) -> Path:
    """A package as an installer leaves it."""
    about = directory / "house_parts-1.0.dist-info"
    about.mkdir(parents=True)
    (directory / "house.py").write_text(module)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: house-parts\nVersion: 1.0\n")
    groups = [f"[gpu_coldstart.{group}]\n{point}\n" for group, point in points.items()]
    (about / "entry_points.txt").write_text("\n".join(groups))
    return directory


def run_with(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command where the package is installed."""
    places = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "gpu_coldstart.run", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
    )


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
    monkeypatch.syspath_prepend(install(tmp_path, {"spaces": POINTS["spaces"]}, module))
    monkeypatch.delitem(sys.modules, "house", raising=False)
    parts = Registry("space", "gpu_coldstart.spaces", {}, ("Parameters", "fit"))
    assert parts.names() == ("random-points",)
    with pytest.raises(UserError, match=reason) as refusal:
        parts.get("random-points")
    assert "of package 'house-parts'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parts_of_an_installed_package_run(tmp_path: Path) -> None:
    house, out = install(tmp_path / "site", POINTS), tmp_path / "run"
    settings = {
        "spaces": "random-points",
        "model": "linear",
        "strategies.names": "popularity,reversed-chart,full",
        "random_points.dimension": "3",
        "linear.epochs": "2",
        "linear.patience": "0",
        "evaluation.figures": "false",
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    done = run_with(house, "--preset", "tiny", "--engine", "cpu", *options, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Reversed Chart" in done.stdout
    assert "Random Points" in done.stdout
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["strategy"] for row in rows} == {"popularity", "reversed-chart", "full"}
    text = (out / "config.toml").read_text()
    assert "[random_points]\ndimension = 3" in text
    assert 'reversed_chart_order = "reversed"' in text
    lists = {
        name: pq.read_table(out / "recommendations" / "random-points" / f"{name}.parquet")
        for name in ("popularity", "reversed-chart")
    }
    chart, turned = (lists[name]["track_id"].to_pylist()[:50] for name in lists)
    assert turned == chart[::-1]


def test_a_wrong_parameter_of_an_installed_part_is_refused(tmp_path: Path) -> None:
    house = install(tmp_path / "site", POINTS)
    done = run_with(house, "--set", "strategies.reversed_chart_order=up", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "'strategies.reversed_chart_order' is 'up': use one of chart, reversed" in done.stderr


def test_epochs_in_a_space_of_another_package() -> None:
    parameters = MlpConfig(epochs=7, epochs_tt_svd=8, epochs_ut_als=9)
    assert [parameters.epochs_in(name) for name in ("random-points", "tt-svd", "ut-als")] == [
        7,
        8,
        9,
    ]
