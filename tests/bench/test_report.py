"""Markdown and plots."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import report
from bench.results import save
from gpu_coldstart.errors import UserError
from tests.bench.helpers import rich, sweep


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a campaign with one of everything."""
    folder = tmp_path_factory.mktemp("report")
    save(folder / "a.json", rich())
    return report.write(folder / "a.json", folder / "out")


def cells(page: Path, first: str) -> list[str]:
    """The cells of the only line that begins with a cell."""
    lines = [line for line in page.read_text().splitlines() if line.startswith(f"| {first} |")]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_the_summary_names_the_best_rival_and_the_ratio(page: Path) -> None:
    expected = ["race", "2.00", "good", "2.00", "1.00 [0.75, 1.25]", "0.50 to 1.50"]
    assert cells(page, "race") == expected


def test_each_contender_has_its_line(page: Path) -> None:
    # 100 things in 2 s; 1 GB and 1 Gflop in 2 s, of 10 GB/s and 100 Gflop/s.
    found = cells(page, "**mine**")
    assert found[1:8] == ["2.00", "1.50 to 2.50", "3", "1.00", "50.0", "0.00", "5.0%"]
    assert found[8:] == ["0.5%", "1", "equal"]
    assert cells(page, "quick but bad")[-1] == "worse"


def test_stages_stand_side_by_side_with_what_is_besides(page: Path) -> None:
    assert cells(page, "two")[1:] == ["2.50", "5.00"]
    assert cells(page, "besides")[1:] == ["0.5", "0.00"]


def test_everything_else_is_told(page: Path) -> None:
    text = page.read_text()
    assert "- absent: missing; not installed: get it" in text
    assert "Not run: the data are not here" in text
    assert "- good comes to an objective of 4 after 1.00 s" in text
    assert "commit 0123456789ab with changes" in text
    assert "scale 0.5, engine cpu" in text
    assert "2 of 2 cores" in text


def test_every_plot_that_is_named_is_there_and_repeats(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    names = {path.name for path in page.parent.glob("*.svg")}
    assert names == {"a-race.svg", "a-stages.svg"}
    for name in names:
        assert f"]({name})" in text
        ET.parse(page.parent / name)
    save(tmp_path / "a.json", rich())
    report.write(tmp_path / "a.json", tmp_path)
    for path in page.parent.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_sweep_is_told_by_size(tmp_path: Path) -> None:
    save(tmp_path / "a.json", sweep())
    page = report.write(tmp_path / "a.json", tmp_path)
    assert cells(page, "race") == ["race", "0.50 (good)", "1.50 (good)"]
    text = page.read_text()
    assert "# Benchmarks at scale 0.1, 1, engine cpu" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## race at scale 0.1", "## race", "## alone at scale 0.1", "## race at scale 1",
    ]  # fmt: skip
    assert "](a-sizes.svg)" in text
    assert [path.name for path in tmp_path.glob("*.svg")] == ["a-sizes.svg"]
    assert "race" in (tmp_path / "a-sizes.svg").read_text()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.json", rich())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        report.write(tmp_path / "a.json", tmp_path / "file" / "below")
