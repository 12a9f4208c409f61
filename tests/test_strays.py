"""A few wrong clocks decide nothing for anybody else, and are told."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.extent import Extent, extent
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.runs.artifacts import encode
from gpu_coldstart.spaces import silent
from tests.test_logs import config_of
from tests.worlds import START_DAY, Raw, stream, user

CONFIG = config_of(truth_days=10)
END = 60


def sane(splits: bool = False) -> Raw:
    """Four users registered a day for 40 days, who stream on every fifth day until day 60."""
    users = [user(number, number // 4) for number in range(160)]
    if splits:
        for row in users:
            number = row["user_id"]
            row["split"] = "warm" if number < 120 else ("validation", "test")[number % 2]
    events = [
        stream(number, day, (number + day) % 7)
        for number in range(160)
        for day in range(number // 4, END + 1, 5)
    ]
    return Raw(users, [{"track_id": number} for number in range(7)], events)


def far(day: int) -> int:
    """The day, counted from the first, of a date that a test names."""
    return int((np.datetime64(f"{day}-01-01") - np.datetime64("2020-11-01")).astype(int))


WRONG_CLOCKS: dict[str, list[tuple[int, int]]] = {
    "one of a warm user": [(3, far(2090))],
    "one of a cold user": [(158, far(2090))],
    "several days": [(3, far(2090)), (17, far(2090)), (158, far(2091)), (4, 200)],
    "not long after": [(3, END + 45)],
    "a busy device": [(3, far(2038))] * 50,
    "early": [(3, far(1999)), (158, far(2001))],
}


def apart_notes(notes: tuple[str, ...]) -> list[str]:
    """The notes on what lies apart."""
    return [note for note in notes if "apart from all others" in note]


@pytest.mark.parametrize("strays", WRONG_CLOCKS.values(), ids=WRONG_CLOCKS.keys())
@pytest.mark.parametrize("splits", [False, True])
def test_wrong_clocks_decide_nothing(
    engine: Engine, strays: list[tuple[int, int]], splits: bool
) -> None:
    raw = sane(splits)
    logs, truth = raw.indexed(engine, CONFIG)
    assert not apart_notes(logs.notes)
    raw.interactions += [stream(who, day, 6) for who, day in strays]
    again, later = raw.indexed(engine, CONFIG)
    assert encode(engine, replace(again, notes=logs.notes)) == encode(engine, logs)
    assert encode(engine, later) == encode(engine, truth)
    late = sorted(day for who, day in strays if day > END and not (splits and who >= 120))
    if late:
        (note,) = apart_notes(again.notes)
        assert note.startswith(f"{len(late)} interactions")
        for word in (day_name(START_DAY + day) for day in (late[0], late[-1], END)):
            assert word in note
    elif strays[0][1] < 0:
        assert any("before their user's registration day" in note for note in again.notes)


def test_a_late_event_says_whom_it_would_have_measured(engine: Engine) -> None:
    raw = sane()
    raw.users.append(user(1000, END - 3))
    raw.interactions += [stream(1000, END - 3, 1), stream(3, far(2090), 6)]
    (note,) = apart_notes(raw.logs(engine, CONFIG).notes)
    assert "1 more users measured" in note


STRAY_ACCOUNTS = {
    "late, on record": (False, [(100, None)]),
    "several": (False, [(100, None), (101, None), (far(2031), None)]),
    "in the future": (False, [(far(2090), None)]),
    "cold long before": (True, [(far(2001), "test")]),
    "cold somewhat before": (True, [(-400, "validation"), (-300, "test")]),
    "cold in the future": (True, [(far(2090), "test")]),
}


@pytest.mark.parametrize(("splits", "accounts"), STRAY_ACCOUNTS.values(), ids=STRAY_ACCOUNTS)
def test_idle_accounts_decide_nothing(
    engine: Engine, splits: bool, accounts: list[tuple[int, str | None]]
) -> None:
    raw = sane(splits)
    last = 200  # long logs, so that a late account has days of truth on record
    raw.interactions += [stream(0, day, 0) for day in range(END, last, 1)]
    before, truth = raw.indexed(engine, CONFIG)
    # Ids between those of others: everybody takes turns as validation and test.
    raw.users += [user(-1 - number, day, split) for number, (day, split) in enumerate(accounts)]
    after, later = raw.indexed(engine, CONFIG)
    for cohort in ("warm", "validation", "test"):
        one, other = (
            engine.to_host(logs.user_ids)[logs.users(cohort)].tolist() for logs in (before, after)
        )
        assert one == other, cohort
    assert encode(engine, later) == encode(engine, truth)
    assert before.split_rule == after.split_rule.partition("; ")[0]
    assert before.history.nnz == after.history.nnz
    assert before.days == after.days
    apart = [day for day, _ in accounts if day + 10 < last - 1 and day != far(2090)]
    if apart:
        (note,) = apart_notes(after.notes)
        assert note.startswith(f"{len(apart)} users registered apart")


SANE = {
    "one day": [0] * 50,
    "a tail-off": [*range(100)] * 9 + [101, 103, 106, 109, 113, 117],
    "weekends off": [day for day in range(700) if day % 7 < 5],
    "one day a week": [*range(0, 700, 7)] * 3,
    "one day a month": [*range(0, 900, 30)],
    "a summer closed": [*range(100), *range(170, 172)] * 20,
    "three years, and Christmas closed": [*range(1000), 1010],
    "growth": [day for day in range(100) for _ in range(day * day // 9)] + [-60, -30],
    "a handful": [0, 1, 2, 40, 90],
    "two visits": [0, 80],
}


@pytest.mark.parametrize("days", SANE.values(), ids=SANE.keys())
def test_sane_logs_end_on_their_last_day(engine: Engine, days: list[int]) -> None:
    assert extent_of(engine, days).last == START_DAY + max(days)


def extent_of(engine: Engine, days: list[int]) -> Extent:
    xp, many = engine.xp, 50
    where = xp.asarray(np.array(days) + START_DAY, dtype=xp.int32)
    return extent(engine, where, xp.arange(len(days), dtype=xp.int32) % many, many)


@given(
    st.lists(st.integers(0, 60), min_size=100, max_size=200),
    st.lists(st.integers(300, 40_000), max_size=3),
    st.lists(st.integers(-7000, -300), max_size=2),
    st.randoms(use_true_random=False),
)
def test_strays_of_either_end_in_any_order(
    days: list[int], late: list[int], early: list[int], order: random.Random
) -> None:
    every = [*days, *late, *early]
    order.shuffle(every)
    engine = choose("cpu")[0]
    assert extent_of(engine, every) == extent_of(engine, days)


def test_the_synthetic_world_has_no_strays() -> None:
    tables = generate(PRESETS["tiny"], seed=0)
    for columns in (None, ["split"]):
        tables["users"] = tables["users"].drop_columns(columns or [])
        notes = Dataset.from_frames(**tables).index(choose("cpu")[0], Config(), silent)[0].notes
        assert not apart_notes(notes)
