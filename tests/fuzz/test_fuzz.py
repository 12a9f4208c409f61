"""The first trials of each family; ``make fuzz`` runs thousands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.families import FAMILIES
from tests.fuzz.runner import Family, Random, quick, run_trial, run_trials
from tests.fuzz.tables import TABLES

TRIALS = {"tables": 10, "artifacts": 12, "configuration": 100, "command-line": 16, "artists": 24}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


@pytest.mark.parametrize("name", FAMILIES)
def test_every_trial_is_refused_or_right(name: str) -> None:
    tally = run_trials(FAMILIES[name], 0, TRIALS[name])
    assert not tally.failures, "\n".join(map(str, tally.failures))
    assert len(tally.outcomes) > 1, tally.outcomes


def test_a_trial_depends_on_nothing_before_it() -> None:
    def drawn(random: Random, place: Path, done: list[str]) -> str:
        return str(random.integers(2**60))

    family = Family("drawn", drawn)
    alone = run_trial(family, 3, 5)
    assert run_trial(family, 3, 4) != alone
    assert run_trial(family, 4, 5) != alone
    assert run_trial(Family("other", drawn), 3, 5) != alone
    assert run_trial(family, 3, 5) == alone


def test_a_failure_says_how_to_replay_it() -> None:
    def fails(random: Random, place: Path, done: list[str]) -> str:
        done.append("a step")
        raise KeyError("x")

    outcome, failure = run_trial(Family("tables", fails), 7, 5)
    assert outcome == "FAILED"
    assert "python -m tests.fuzz --seed 7 --replay tables:5" in str(failure)
    assert "a step" in str(failure)
    assert "KeyError" in str(failure)


def test_a_hang_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.runner.SECONDS", 1)

    def hangs(random: Random, place: Path, done: list[str]) -> str:
        try:
            time.sleep(30)
        except Exception:
            return "swallowed"
        return "ended"

    assert run_trial(Family("hangs", hangs), 0, 0)[0] == "FAILED"


def test_other_recommendations_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle of the harmless: without the right expectation it fails."""
    monkeypatch.setattr("tests.fuzz.tables.expected", lambda: {1: [2]})
    assert run_trials(replace(TABLES, prepare=str), 0, 3).failures
