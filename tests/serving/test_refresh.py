"""A bundle made anew on newer logs: promoted if no worse, and measured as anybody would."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.cli.main import main
from gpu_coldstart.engine import choose
from gpu_coldstart.errors import UserError
from gpu_coldstart.serving import bundle as bundles
from gpu_coldstart.serving.refresh import Verdict, judge
from tests.rehearsal.install import rehearsed
from tests.runs.helpers import Result, Tables, column, refused, registration_days, results, write
from tests.runs.on_tables import ran
from tests.runs.served import first_day, sections
from tests.serving.test_export import contents

K = 10
ENGINE = choose("cpu")[0]


def refreshing(*arguments: object) -> Result:
    """Call the command in this process, on the CPU."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["refresh", *map(str, arguments), "--engine", "cpu"])
    return Result(status, out.getvalue(), err.getvalue())


def saved(tables: Tables, place: Path, strategy: str) -> Path:
    """The bundle of a run with one strategy."""
    run = ran(tables, place, "--space", "tt-svd", "--strategies", strategy)
    ColdStart.from_run(run, engine="cpu").save(place / "bundle")
    return place / "bundle"


@pytest.fixture(scope="module")
def bundles_of(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of a good strategy, and of two that are worse and much alike: only to look at."""
    names = ("ridge", "registration-day", "popularity")
    return {name: saved(tables, tmp_path_factory.mktemp(name), name) for name in names}


@pytest.fixture
def service(bundles_of: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same, to be replaced."""
    return {
        name: Path(shutil.copytree(path, tmp_path / name / "bundle"))
        for name, path in bundles_of.items()
    }


def options(bundles_of: dict[str, Path], out: Path, strategy: str) -> Sequence[object]:
    """A refresh on the same data with a strategy."""
    data = bundles_of["popularity"].parent / "data"
    return ("--data", data, "--set", f"strategies.names={strategy}", "--out", out)


def ndcg(listed: list[int], wanted: set[int]) -> float:
    """NDCG of one list, from its definition."""
    gains = [1 / np.log2(place + 2) for place, track in enumerate(listed) if track in wanted]
    ideal = sum(1 / np.log2(place + 2) for place in range(min(len(listed), len(wanted))))
    return float(sum(gains) / ideal)


def by_user(tables: Tables, place: Path) -> dict[int, float]:
    """NDCG of each test user under a bundle, from the tables themselves."""
    users, played = first_day(tables, "test")
    lists = ColdStart.load(place, engine="cpu").recommend(users, played, k=K).to_pylist()
    days = registration_days(tables["users"])
    wanted: dict[int, set[int]] = {user: set() for user in column(users, "user_id")}
    for row in tables["interactions"].to_pylist():
        if (row["action"], row["entity"]) == ("stream", "track") and row["user_id"] in wanted:
            since = (row["timestamp"] - days[row["user_id"]]).days
            if 0 <= since < 30:
                wanted[row["user_id"]].add(row["entity_id"])
    listed: dict[int, list[int]] = {user: [] for user in wanted}
    for row in lists:
        listed[row["user_id"]].append(row["track_id"])
    return {user: ndcg(listed[user], wanted[user]) for user in wanted}


def test_a_better_model_is_promoted(
    service: dict[str, Path], bundles_of: dict[str, Path], tmp_path: Path
) -> None:
    place = service["popularity"]
    before = contents(place)
    result = refreshing(place, *options(bundles_of, tmp_path / "run", "ridge"))
    assert result.status == 0, result.err
    assert "is replaced by" in result.out
    assert contents(place) == contents(tmp_path / "run/bundle")
    assert contents(place.with_name("bundle.previous")) == before
    assert list(ColdStart.load(place, engine="cpu").fitted.strategies) == ["ridge"]
    assert {path.name for path in place.parent.iterdir()} == {"bundle", "bundle.previous"}


def test_a_worse_model_is_not(
    service: dict[str, Path], bundles_of: dict[str, Path], tmp_path: Path
) -> None:
    place = service["ridge"]
    before = contents(place)
    result = refreshing(place, *options(bundles_of, tmp_path / "run", "popularity"))
    assert result.status == 3, result.err
    assert "stays in service" in result.out
    assert contents(place) == before
    assert [path.name for path in place.parent.iterdir()] == ["bundle"]
    assert (tmp_path / "run/bundle/bundle.json").is_file()


def test_a_model_that_is_lower_by_chance_is_promoted(
    service: dict[str, Path], bundles_of: dict[str, Path], tmp_path: Path
) -> None:
    place = service["registration-day"]
    result = refreshing(place, *options(bundles_of, tmp_path / "run", "popularity"))
    assert result.status == 0, result.err
    assert "is replaced by" in result.out
    assert "difference -" in result.out


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ("popularity", "ridge", 0, "would be replaced"),
        ("ridge", "popularity", 3, "stays in service"),
    ],
)
def test_a_dry_run_changes_nothing(
    service: dict[str, Path],
    bundles_of: dict[str, Path],
    tmp_path: Path,
    old: str,
    new: str,
    status: int,
    words: str,
) -> None:
    before = contents(service[old].parent)
    result = refreshing(service[old], *options(bundles_of, tmp_path / "run", new), "--dry-run")
    assert result.status == status, result.err
    assert words in result.out
    assert contents(service[old].parent) == before


def test_the_settings_are_those_of_the_bundle(
    service: dict[str, Path], bundles_of: dict[str, Path], tmp_path: Path
) -> None:
    place = service["ridge"]
    data = bundles_of["popularity"].parent / "data"
    result = refreshing(place, "--data", data, "--out", tmp_path / "run")
    assert result.status == 0, result.err
    assert "difference +0.00 (95 %: +0.00 to +0.00; p 1)" in result.out
    old, new = contents(place.with_name(f"bundle{bundles.PREVIOUS}")), contents(place)
    differing = {name for name in new if new[name] != old[name]}
    assert differing <= {"bundle.json", "MODEL_CARD.md"}  # they tell when it was fitted


def test_the_figures_are_right(tables: Tables, bundles_of: dict[str, Path]) -> None:
    old, new = (bundles_of[name] for name in ("popularity", "ridge"))
    models = [ColdStart.load(place, engine="cpu") for place in (new, old)]
    verdict = judge(ENGINE, new.parent / "run", *models)
    mine, its = by_user(tables, new), by_user(tables, old)
    assert verdict.users == len(mine) == 30
    assert (verdict.k, verdict.left_out) == (K, 0)
    assert verdict.names == {"new": "ridge", "in service": "popularity"}
    assert verdict.means["new"] == pytest.approx(np.mean([*mine.values()]))
    assert verdict.means["in service"] == pytest.approx(np.mean([*its.values()]))
    (row,) = results(new.parent / "run")["rows"]
    assert verdict.means["new"] == pytest.approx(row["ndcg"])
    differences = np.array([mine[user] - its[user] for user in mine])
    assert verdict.difference == pytest.approx(differences.mean())
    # The bootstrap's interval, against the normal one.
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    assert verdict.low == pytest.approx(differences.mean() - 1.96 * error, abs=0.6 * error)
    assert verdict.high == pytest.approx(differences.mean() + 1.96 * error, abs=0.6 * error)
    assert verdict.p < 0.01
    with rehearsed():
        gpu = choose("cuda")[0]
        there = [ColdStart.load(place, engine=gpu) for place in (new, old)]
        assert judge(gpu, new.parent / "run", *there) == verdict
    turned = judge(ENGINE, old.parent / "run", *models[::-1])
    assert turned.difference == -verdict.difference
    assert (turned.low, turned.high) == pytest.approx((-verdict.high, -verdict.low))


@pytest.mark.parametrize(
    ("difference", "p", "worse"),
    [(0.01, 0.001, False), (-0.01, 0.06, False), (-0.01, 0.04, True), (0.0, 1.0, False)],
)
def test_worse_is_lower_and_not_by_chance(difference: float, p: float, worse: bool) -> None:
    means = {"new": 0.3 + difference, "in service": 0.3}
    names = dict.fromkeys(means, "semi")
    verdict = Verdict(50, 9, 0, names, means, difference, difference, difference, p)
    assert verdict.worse is worse
    assert "left out" not in str(verdict)
    assert "(2 left out" in str(replace(verdict, left_out=2))


def told_later(model: ColdStart, day: Any) -> ColdStart:
    """A model that says that it has learned until a day."""
    model.fitted.about["data"]["last_day"] = day.isoformat()
    return model


def test_users_whom_it_may_have_learned_from_are_left_out(
    tables: Tables, bundles_of: dict[str, Path]
) -> None:
    place = bundles_of["ridge"]
    model = ColdStart.load(place, engine="cpu")
    users, _ = first_day(tables, "test")
    days = sorted(moment.date() for moment in column(users, "registered_at"))
    middle = days[len(days) // 2]
    later = [moment.date() > middle for moment in column(users, "registered_at")]
    verdict = judge(ENGINE, place.parent / "run", model, told_later(model, middle))
    assert verdict.users == sum(later) < 30
    assert verdict.left_out == 30 - sum(later)
    kept = users.filter(pa.array(later))["user_id"].to_pylist()
    values = by_user(tables, place)
    assert verdict.means["new"] == pytest.approx(np.mean([values[user] for user in kept]))
    with pytest.raises(UserError, match="all 30 test users registered by"):
        judge(ENGINE, place.parent / "run", model, told_later(model, days[-1]))


def test_tracks_that_are_new_cannot_be_in_the_old_lists(
    tables: Tables, service: dict[str, Path], tmp_path: Path
) -> None:
    ids = tables["tracks"]["track_id"].to_pylist()
    renamed = dict(zip(ids, [*ids[:-40], *(each + 1 for each in ids[-40:])], strict=True))
    newer = dict(tables)
    for name, key in (("tracks", "track_id"), ("playlists", "track_id")):
        cells = pa.array([renamed[each] for each in column(tables[name], key)])
        newer[name] = tables[name].set_column(tables[name].column_names.index(key), key, cells)
    is_track = pc.equal(tables["interactions"]["entity"], "track").to_pylist()
    cells = pa.array(
        [
            renamed[each] if track else each
            for each, track in zip(
                column(tables["interactions"], "entity_id"), is_track, strict=True
            )
        ]
    )
    place = tables["interactions"].column_names.index("entity_id")
    newer["interactions"] = tables["interactions"].set_column(place, "entity_id", cells)
    saved(newer, tmp_path / "newer", "ridge")
    data = tmp_path / "newer/data"
    result = refreshing(service["ridge"], "--data", data, "--out", tmp_path / "run", "--dry-run")
    assert result.status == 0, result.err
    mine, its = (by_user(newer, at) for at in (tmp_path / "run/bundle", service["ridge"]))
    assert np.mean([*its.values()]) < np.mean([*mine.values()])
    assert f"{np.mean([*its.values()]):.2%} for the model in service" in result.out


def week(tables: Tables, place: Path, days: int) -> Path:
    """The logs as they were some days before their end, without a split."""
    end = pc.max(tables["interactions"]["timestamp"]).as_py() - timedelta(days=days)
    until = {"users": "registered_at", "interactions": "timestamp"}
    cut = {
        name: table.filter(pc.less(table[until[name]], pa.scalar(end, table[until[name]].type)))
        if name in until
        else table
        for name, table in tables.items()
    }
    cut["users"] = cut["users"].drop_columns(["split"])
    return write(cut, place)


def test_the_next_logs_split_by_time(tables: Tables, tmp_path: Path) -> None:
    """A bundle of ``ColdStart.fit``, and logs that go on for some days more."""
    data = [week(tables, tmp_path / f"data{days}", days) for days in (4, 0)]
    few = sections() | {"strategies": {"names": ["ridge"]}}
    ColdStart(engine="cpu", **few).fit(Dataset.from_parquet(data[0])).save(tmp_path / "bundle")
    before = contents(tmp_path / "bundle")
    events = ("--dataset", "events", "--data", data[1])
    result = refreshing(tmp_path / "bundle", *events, "--out", tmp_path / "run")
    new = json.loads((tmp_path / "run/bundle/bundle.json").read_text())
    told = re.search(r"over (\d+) test users(?: \((\d+) left out)?", result.out)
    assert told is not None, result
    assert int(told[1]) + int(told[2] or 0) == new["data"]["test_users"]
    kept = tmp_path / ("bundle.previous" if result.status == 0 else "bundle")
    assert result.status in (0, 3)
    assert contents(kept) == before


def test_directories_change_places_at_once_or_not_at_all(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
        (place / place.name).touch()
    done = bundles._swapped(one, other)
    assert (one / ("other" if done else "one")).exists()
    assert (other / ("one" if done else "other")).exists()
    assert not bundles._swapped(one, tmp_path / "none")
    assert one.exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_one_bundle_is_kept(
    bundles_of: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(bundles, "_swapped", lambda one, other: False)
    about, files = bundles.read(bundles_of["popularity"])
    place = tmp_path / "bundle"
    for number in range(3):
        bundles.write(place, files, about | {"notes": [str(number)]}, keep=True)
    assert bundles.read(place)[0]["notes"] == ["2"]
    assert bundles.read(tmp_path / "bundle.previous")[0]["notes"] == ["1"]
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundle.previous"}


def test_mistakes(service: dict[str, Path], bundles_of: dict[str, Path], tmp_path: Path) -> None:
    place = service["popularity"]
    before = contents(place.parent)
    out = ("--out", tmp_path / "run")
    refused(refreshing(tmp_path / "none", *out), "holds no bundle")
    refused(refreshing(place, *out), "needs --data DIR")
    refused(refreshing(place, "--data", tmp_path / "none", *out), "does not exist")
    sentence = refused(refreshing(place, *options(bundles_of, tmp_path / "run", "semmi")), "semmi")
    assert "strategies.names" in sentence
    assert contents(place.parent) == before
    assert not (tmp_path / "run").exists()
