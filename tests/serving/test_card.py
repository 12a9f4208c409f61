"""The model card: what it says is what was measured, set and kept."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.config.parameters import flat
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.serving.card import CARD, card
from tests.builtin import EVERY_STRATEGY
from tests.reporting.conftest import COUNTRIES
from tests.runs.helpers import Tables, column, results, with_column
from tests.runs.served import sections


def section_of(text: str, head: str) -> str:
    """What stands under a heading."""
    return text.partition(f"\n## {head}\n")[2].partition("\n## ")[0]


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of all rows of Markdown tables, by their first cell."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells}


@pytest.fixture
def text(exported: Path) -> str:
    return (exported / CARD).read_text(encoding="utf-8")


def test_it_has_what_the_run_measured(text: str, plain: Path) -> None:
    first, by_events = section_of(text, "Quality").split("N@10 by interactions")
    table = rows_of(first)
    measured = [row for row in results(plain)["rows"] if row["space"] == "tt-svd"]
    assert len(measured) == len(EVERY_STRATEGY)
    for row in measured:
        wanted = [
            f"{100 * row[each]:.2f} ± {100 * row[f'{each}_std']:.2f}"
            for each in ("precision", "recall", "ndcg")
        ]
        assert table[STRATEGIES.label(row["strategy"])] == wanted
    groups = rows_of(by_events)
    assert "none at all (" in groups["Strategy"][0]
    assert len(groups) == len(EVERY_STRATEGY) + 2  # and the head and its rule
    assert "on 30 test users" in first
    exposed = rows_of(section_of(text, "Limits"))
    assert {STRATEGIES.label(name) for name in EVERY_STRATEGY} <= set(exposed)
    assert exposed["Popularity"][0] == "5.00 %"  # all get the same 10 of 200 tracks


def test_it_has_the_settings_that_are_not_the_defaults(exported: Path, text: str) -> None:
    config = ColdStart.load(exported, engine="cpu").config
    usual = flat(type(config)())
    settings = rows_of(section_of(text, "Training"))
    told = {key.strip("`") for key in settings} - {"setting"}
    told = {key for key in told if not key.startswith("---")}
    changed = {key for key, value in flat(config).items() if value != usual[key]}
    assert told < changed
    others = ("world.", "ut_als.", "cml.", "hlr.", "dataset", "preset", "spaces")
    assert {key for key in changed - told if not key.startswith(others)} == set()
    assert settings["`segments.k`"] == ["6", "0"]
    assert "cut into 6 segments" in text


def test_it_has_the_data(text: str) -> None:
    data = section_of(text, "Data")
    sizes = rows_of(data)
    assert sizes["warm users"] == ["120"]
    assert sizes["test users"] == ["30"]
    assert sizes["tracks"] == ["200"]
    assert "Data set: events" in data
    assert "FR " in data
    assert "users.parquet" in section_of(text, "Licence and versions")


def test_it_says_whose_data_it_holds(exported: Path, text: str) -> None:
    assert "Nearest Neighbours keeps" in section_of(text, "Signals and personal data")
    model = ColdStart.load(exported, engine="cpu")
    states = model.fitted.states
    del states["neighbours"]
    without = section_of(card(model.fitted, model.config), "Signals and personal data")
    assert "holds no user's ids" in without
    assert "keeps" not in without


def test_a_fitted_model_says_that_it_was_not_measured(tables: Tables, tmp_path: Path) -> None:
    few = sections() | {"strategies": {"names": ["popularity"]}}
    ColdStart(engine="cpu", **few).fit(Dataset.from_frames(**tables)).save(tmp_path / "bundle")
    text = (tmp_path / "bundle" / CARD).read_text(encoding="utf-8")
    assert section_of(text, "Quality").startswith("\nNot measured")
    assert "was not measured" in section_of(text, "Limits")
    assert "in no file" in section_of(text, "Licence and versions")


def test_names_out_of_the_data_are_no_markup(tables: Tables) -> None:
    cells = column(tables["users"], "country")
    renamed = pa.array([COUNTRIES.get(cell, cell) for cell in cells], pa.string())
    spoilt = tables | {"users": with_column(tables["users"], "country", renamed)}
    few = sections() | {"strategies": {"names": ["popularity"]}}
    model = ColdStart(engine="cpu", **few).fit(Dataset.from_frames(**spoilt))
    text = card(model.fitted, model.config)
    assert "=\\<script\\>alert(1)" in text
    assert not re.search(r"(?<!\\)[<>]", text)
    assert "\u202e" not in text
    assert "\x01" not in text
