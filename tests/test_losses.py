"""What users are told of the logs: why nobody is left, and registration days that are empty."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from tests.test_logs import config_of, small
from tests.test_logs_rules import by_time
from tests.worlds import Raw, Row, at, stream

# -- why nobody is left ----------------------------------------------------------------------------


def before_registration(row: Row) -> Row:
    return {**row, "timestamp": at(-200)}


def of_an_album(row: Row) -> Row:
    return {**row, "entity": "album", "entity_id": 4}


def no_stream(row: Row) -> Row:
    return {**row, "action": "search"}


def unheard(row: Row) -> Row:
    return {**row, "entity": "track", "entity_id": 51}


def on_the_day(row: Row) -> Row:
    return {**row, "timestamp": at(10, 50_000)}


def much_later(row: Row) -> Row:
    return {**row, "timestamp": at(90, 50_000)}


DAY_ONE, LATER = "registration day on", "after their registration day"
WHY = [
    (before_registration, "warm", f"3 did nothing from their {DAY_ONE}"),
    (before_registration, "test", f"1 did nothing from their {DAY_ONE}"),
    (of_an_album, "warm", "3 streamed artists, albums or playlists, but no track"),
    (of_an_album, "validation", "1 streamed artists, albums or playlists, but no track"),
    (no_stream, "warm", "3 streamed nothing"),
    (no_stream, "test", "1 streamed nothing"),
    (unheard, "warm", "3 did nothing with known tracks"),
    (unheard, "test", "1 did nothing with known tracks"),
    (on_the_day, "validation", f"1 did nothing {LATER}"),
    (much_later, "test", "1 did nothing in the 30 days after it (split.truth_days)"),
    (much_later, "warm", "3 streamed no track up to 2020-11-11, the last day that counts"),
]


@pytest.mark.parametrize(("change", "cohort", "says"), WHY)
def test_an_empty_cohort_says_where_its_users_went(
    engine: Engine, change: Callable[[Row], Row], cohort: str, says: str
) -> None:
    raw = small()
    theirs = {row["user_id"] for row in raw.users if row["split"] == cohort}
    raw.interactions += [stream(9, 12, 50), stream(8, 10, 50), stream(8, 11, 50)]
    raw.interactions = [
        change(row) if row["user_id"] in theirs else row for row in raw.interactions
    ]
    with pytest.raises(UserError) as caught:
        raw.logs(engine, config_of(warm_until="first-cold-day"))
    assert f"leaves no {cohort} users ({says}" in str(caught.value)


def test_too_little_truth_and_no_cut_say_why(engine: Engine) -> None:
    with pytest.raises(UserError, match=r"\(1 streamed fewer than 9 distinct tracks"):
        small().logs(engine, config_of(min_truth=9))
    raw = by_time([5, 5, 5, 5], 30)
    with pytest.raises(UserError, match=r"no warm users \(split by time: users registered before"):
        raw.logs(engine, config_of(truth_days=10))


def test_nothing_that_can_be_used_says_why(engine: Engine) -> None:
    raw = small()
    raw.interactions = [before_registration(row) for row in raw.interactions]
    with pytest.raises(UserError, match="none of the 7 interactions can be used: 7 interactions "):
        raw.logs(engine)


# -- registration days that a time zone empties ----------------------------------------------------


@pytest.mark.parametrize("hours", [-14, -9, -5, 0, 5, 14])
def test_registration_in_another_time_zone_is_noted(engine: Engine, hours: int) -> None:
    """Users who register all day long and stream at once, by a clock in another zone."""
    raw = sane_day()
    for row in raw.users:
        row["registered_at"] += timedelta(hours=hours)
    notes = [note for note in raw.logs(engine).notes if "another time zone" in note]
    assert len(notes) == (hours != 0)
    if notes:
        empty = sum(
            row["registered_at"].date() != (row["registered_at"] - timedelta(hours=hours)).date()
            for row in raw.users
        )
        assert notes[0].startswith(f"{empty} of 48 users")


def sane_day() -> Raw:
    """Two users of each hour of two days, all of whom stream on registering and a month later."""
    users, events = [], []
    for number in range(48):
        moment = at(number % 2, number // 2 * 3600 + 60)
        split = ("warm", "warm", "validation", "test")[number % 4]
        users.append({"user_id": number, "registered_at": moment, "split": split})
        for days in (0, 20):
            row = stream(number, 0, number % 3)
            events.append({**row, "timestamp": moment + timedelta(days=days, minutes=5)})
    return Raw(users, [{"track_id": number} for number in range(3)], events)
