"""What can be tuned, over which ranges, and what a report says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart.config.base import Choices, Range, Searched
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import adjusted, resolve
from gpu_coldstart.config.tuning import SECTIONS
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import MODELS
from gpu_coldstart.reporting.budget import budget_notes, budgets
from gpu_coldstart.tuning import workers
from gpu_coldstart.tuning.components import component
from gpu_coldstart.tuning.study import Study
from tests.builtin import EVERY_STRATEGY, SPACES

NOTHING_TO_SEARCH = {
    *("popularity", "registration-day", "full", "semi", "dropoutnet-semi", "melu-semi"),
}
PARTS = [*SPACES, *MODELS.builtin, *SECTIONS, *sorted({*EVERY_STRATEGY} - NOTHING_TO_SEARCH)]


def values_of(each: Range, configured: Any) -> list[Any]:
    """Both ends of a range, or all its choices."""
    if isinstance(each, Choices):
        return list(each.values)
    return [type(configured)(end) for end in (each.low, each.high)]


@pytest.mark.parametrize("name", PARTS)
def test_every_range_is_of_values_that_its_setting_may_have(name: str) -> None:
    config = Config()
    part = component(config, name)
    assert part.ranges
    for key, each in part.ranges.items():
        configured = flat(config)[key]
        for value in values_of(each, configured):
            assert flat(adjusted(config, {key: value}))[key] == value
            assert resolve(settings={key: value})
        if isinstance(each, Searched):
            assert each.low <= configured <= each.high
            assert each.low < each.high
            assert each.low > 0 or not each.log
        else:
            assert configured in each.values
            assert len({str(value) for value in each.values}) == len(each.values) > 1


@pytest.mark.parametrize("name", sorted(NOTHING_TO_SEARCH))
def test_a_part_without_ranges_says_so(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no setting .* --strategy {name}"):
        component(Config(), name)


def test_parts_are_judged_where_they_are_used() -> None:
    config = Config()
    judged = {name: component(config, name) for name in ("ut-als", "mlp", "gate")}
    assert [(part.space, part.judge) for part in judged.values()] == [
        ("ut-als", "semi"),
        ("tt-svd", "semi"),
        ("tt-svd", "gate"),
    ]
    assert component(config, "dropoutnet-full", judge="dropoutnet-semi").judge == "dropoutnet-semi"
    with pytest.raises(UserError, match="lists of semi do not depend on gate"):
        component(config, "gate", judge="semi")


def test_a_configured_value_outside_the_range_is_searched_too() -> None:
    config = resolve(settings={"strategies.gate_hidden": 5, "strategies.gate_segments": "3,6"})
    ranges = component(config, "gate").ranges
    assert ranges["strategies.gate_hidden"] == Searched(5, 1024, log=True)
    segments = ranges["strategies.gate_segments"]
    assert isinstance(segments, Choices)
    assert (3, 6) in segments.values
    without = resolve(settings={"ut_als.regularization": 0})
    with pytest.raises(UserError, match=r"'ut_als.regularization' is 0\.0, but is searched by its"):
        component(without, "ut-als")


def test_settings_that_were_tried_are_not_tried_again(tmp_path: Path) -> None:
    config = Config()
    study = Study(tmp_path / "features.log", component(config, "features"), config)
    tried = []
    while (attempt := study.ask(12)) is not None:  # of four combinations
        tried.append(tuple(attempt.settings.values()))
        study.finish(attempt, 0.5 + len(tried) / 10)
    assert tried[0] == ("events", "standard")
    assert len(tried) == len(set(tried)) <= 4
    by_settings: dict[tuple[Any, ...], set[float | None]] = {}
    for entry in study.entries:
        by_settings.setdefault(tuple(entry.settings.values()), set()).add(entry.ndcg)
    assert len(study.entries) == study.done == 12
    assert all(len(ndcg) == 1 for ndcg in by_settings.values())


def test_settings_that_end_their_process_count_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_MODULE", "gpu_coldstart.regular")  # which ends at once
    config = Config()
    part = component(config, "features")
    study = Study(tmp_path / "features.log", part, config)
    workers.in_processes(
        study,
        workers.Task(tmp_path, part, workers.Processor("cpu")),
        jobs=1,
        threads=1,
        more=lambda: 2,
        noted=lambda attempt, outcome: study.finish(attempt, outcome.ndcg, outcome.note),
        check=lambda: None,
    )
    assert [entry.state for entry in study.entries] == ["failed", "failed"]
    assert {entry.note for entry in study.entries} == {"its process has ended, with status 0"}


def test_a_report_says_what_was_tuned_and_what_was_not() -> None:
    names = {"strategies.names": "popularity,gate,soft,dropoutnet-semi", "spaces": "tt-svd"}
    plain = resolve(settings=names)
    assert budget_notes(plain) == []
    assert {told for _, told in budgets(plain)} == {"as they come"}
    counts = {"tuning.gate": 12, "tuning.dropoutnet_full": 12, "tuning.mlp": 5}
    config = resolve(settings=names | counts)
    told = dict(budgets(config))
    assert told["Gate"] == "tuned by 12 trials on validation users"
    assert told["DropoutNet Semi-Pers."] == f"DropoutNet Full-Pers.: {told['Gate']}"
    assert told["Popularity"] == told["Soft Allocation"] == told["TT-SVD"] == "as they come"
    assert budget_notes(config) == [
        "settings tuned on validation users: Gate, DropoutNet Full-Pers. (12 trials each), MLP "
        "(5 trials); not tuned, though they could be: Soft Allocation"
    ]
