"""The fitted system: the same lists as a run, for anyone, from a bundle."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gpu_coldstart import ColdStart
from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.strategies.candidates import OWN
from tests.builtin import EVERY_STRATEGY
from tests.rehearsal.install import rehearsed
from tests.runs.helpers import Tables, command, events, one_thread, write
from tests.runs.on_tables import EVERY
from tests.runs.served import SPACE, first_day, fitted


@pytest.fixture
def loaded(bundle: Path) -> ColdStart:
    return ColdStart.load(bundle, engine="cpu")


@pytest.mark.parametrize("engine", ["cpu", "rehearsal"])
def test_a_loaded_model_gives_the_lists_of_the_run(
    engine: str, tables: Tables, tmp_path: Path
) -> None:
    name = "cpu" if engine == "cpu" else "cuda"
    with rehearsed() if engine == "rehearsal" else nullcontext():
        data = write(tables, tmp_path / "data")
        options = (*events(data, spaces=SPACE), *EVERY)
        ran = command(*options, "--engine", name, "--out", tmp_path / "run")
        assert ran.status == 0, ran.err
        fitted(tables, name).save(tmp_path / "bundle")
        loaded = ColdStart.load(tmp_path / "bundle", engine=name)
        users, played = first_day(tables, "test")
        for strategy in EVERY_STRATEGY:
            lists = pq.read_table(tmp_path / f"run/recommendations/{SPACE}/{strategy}.parquet")
            for one in (users, users.slice(7, 1), users.slice(3, 2)):
                answer = loaded.recommend(one, played, k=10, strategy=strategy)
                wanted = lists.filter(pc.is_in(lists["user_id"], one["user_id"]))
                order = [("user_id", "ascending"), ("rank", "ascending")]
                answer, wanted = answer.sort_by(order), wanted.sort_by(order)
                assert answer["user_id"].equals(wanted["user_id"])
                assert answer["track_id"].equals(wanted["track_id"]), (strategy, len(one))
                np.testing.assert_allclose(answer["score"], wanted["score"], atol=1e-5)


def test_the_users_come_in_the_order_given_and_whole(loaded: ColdStart, tables: Tables) -> None:
    users, played = first_day(tables, "test")
    turned = users.take(list(range(len(users)))[::-1])
    answer = loaded.recommend(turned, played, k=4)
    assert answer["user_id"].to_pylist() == np.repeat(turned["user_id"], 4).tolist()
    assert answer["rank"].to_pylist() == [1, 2, 3, 4] * len(users)


def test_someone_of_whom_nothing_is_known(loaded: ColdStart) -> None:
    answer = loaded.recommend({"user_id": [5]}, k=3, explain=True)
    assert len(answer) == 3
    assert answer["reasons"][0].as_py()["signals"] == []
    assert json.loads(answer.schema.metadata[b"notes"]) == []


def test_what_is_unknown_is_counted_and_changes_nothing(
    loaded: ColdStart, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    users, played = first_day(tables, "test")
    one = users.slice(0, 1)
    mine = played.filter(pc.equal(played["user_id"], one["user_id"][0]))
    strange = mine.slice(0, 2).set_column(
        mine.column_names.index("entity_id"), "entity_id", pa.array([-1, -2], pa.int64())
    )
    stranger = mine.slice(0, 1).set_column(0, "user_id", pa.array([-9], pa.int64()))
    more = pa.concat_tables([mine, strange, stranger.select(mine.column_names)])
    answer, plain = loaded.recommend(one, more, k=5), loaded.recommend(one, mine, k=5)
    assert answer.equals(plain)
    total = len(more)
    assert json.loads(answer.schema.metadata[b"notes"]) == [
        f"1 of {total} interactions name unknown users; left out",
        f"2 of {total} interactions name unknown tracks, artists, albums or playlists; left out",
    ]
    assert f"2 of {total} interactions" in caplog.text
    abroad = one.set_column(one.column_names.index("country"), "country", pa.array(["XX"]))
    assert "1 users are from countries" in str(
        loaded.recommend(abroad, mine, k=5).schema.metadata[b"notes"]
    )


def test_only_the_day_of_registration_counts_where_moments_are_given(
    loaded: ColdStart, tables: Tables
) -> None:
    users, played = first_day(tables, "test")
    everything = tables["interactions"]
    whole = loaded.recommend(users, everything, k=5)
    assert whole.equals(loaded.recommend(users, played, k=5))
    undated = played.drop_columns(["timestamp"])
    assert loaded.recommend(users.drop_columns(["registered_at"]), undated, k=5).equals(whole)


KINDS = ("expert", "popularity", "signal")


def shares(rows: list[dict[str, Any]]) -> float:
    return sum(float(row["share"]) for row in rows)


@pytest.mark.parametrize("strategy", ["semi", "soft", "popularity", "registration-day"])
def test_reasons_add_up(loaded: ColdStart, tables: Tables, strategy: str) -> None:
    users, played = first_day(tables, "test")
    answer = loaded.recommend(users, played, k=3, strategy=strategy, explain=True)
    described = loaded.segments["description"].to_pylist()
    for row in answer.to_pylist():
        signals, segments = row["reasons"]["signals"], row["reasons"]["segments"]
        assert row["reasons"]["parts"] == []
        if strategy in {"popularity", "registration-day"}:
            assert (signals, segments) == ([], [])
            continue
        assert shares(signals) == pytest.approx(1, abs=1e-5)
        assert {signal["signal"] for signal in signals} <= set(BLOCKS)
        assert shares(segments) == pytest.approx(1, abs=1e-5)
        assert segments[0]["segment"] == row["segment"]
        assert all(part["description"] == described[part["segment"]] for part in segments)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_what_lifts_a_list_of_best_adds_up(
    loaded: ColdStart, tables: Tables, *, exclude_seen: bool
) -> None:
    users, played = first_day(tables, "test")
    answer = loaded.recommend(
        users, played, k=9, strategy="best", explain=True, exclude_seen=exclude_seen
    )
    state = loaded.fitted.states["best"]
    labels = {STRATEGIES.get(name).label for name in state.experts}
    for reasons in answer["reasons"].to_pylist():
        parts = reasons["parts"]
        assert shares(parts) == pytest.approx(1, abs=1e-9)
        assert sorted(parts, key=lambda part: -float(part["share"])) == parts
        named = {kind: {p["name"] for p in parts if p["kind"] == kind} for kind in KINDS}
        assert named["expert"] <= labels
        assert named["popularity"] <= {"popularity"}
        assert named["signal"] <= set(OWN)
        assert sum(map(len, named.values())) == len(parts)
        assert reasons["signals"] == []


def test_only_what_a_user_did_is_a_reason(loaded: ColdStart, tables: Tables) -> None:
    users, played = first_day(tables, "test")
    one = users.select(["user_id"]).slice(0, 1)
    track = tables["tracks"]["track_id"][0].as_py()
    streamed = {
        "user_id": [one["user_id"][0].as_py()],
        "action": ["stream"],
        "entity": ["track"],
        "entity_id": [track],
    }
    reasons = loaded.recommend(one, streamed, k=1, explain=True)["reasons"][0].as_py()
    assert {row["signal"] for row in reasons["signals"]} <= {
        "streamed_songs",
        "streamed_artists",
        "streamed_albums",
    }
    parts = loaded.recommend(one, streamed, k=9, strategy="best", explain=True)["reasons"][0]
    signals = {part["name"] for part in parts.as_py()["parts"] if part["kind"] == "signal"}
    assert signals <= {"streamed_songs", "streamed_artists", "streamed_albums"}
    del played


def test_what_was_streamed_is_left_out_if_asked(loaded: ColdStart, tables: Tables) -> None:
    users, played = first_day(tables, "test")
    streams = played.filter(
        pc.and_(pc.equal(played["action"], "stream"), pc.equal(played["entity"], "track"))
    )
    heard = set(zip(*(streams[name].to_pylist() for name in ("user_id", "entity_id")), strict=True))
    for strategy in EVERY_STRATEGY:
        answer = loaded.recommend(users, played, k=8, strategy=strategy, exclude_seen=True)
        pairs = zip(*(answer[name].to_pylist() for name in ("user_id", "track_id")), strict=True)
        assert not heard & set(pairs), strategy


def test_carousels_and_segments(loaded: ColdStart, tables: Tables) -> None:
    users, played = first_day(tables, "test")
    shown = loaded.carousels(users.slice(0, 2), played)
    assert set(shown) == {"default", "semi", "full"}
    assert all(len(table) == 2 * 12 for table in shown.values())
    table = loaded.segments
    assert len(table) == 6
    assert table["size"].to_numpy().sum() == sum(
        split == "warm" for split in tables["users"]["split"].to_pylist()
    )
    for tracks, parts in zip(table["track_id"], table["probability"], strict=True):
        assert len(tracks) == len(parts) > 0
        assert (np.diff(parts.values.to_numpy()) <= 0).all()


# -- mistakes --------------------------------------------------------------------------------------


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def names(bundle: Path) -> list[str]:
    return sorted(json.loads((bundle / "bundle.json").read_text())["files"])


def test_every_file_of_a_bundle_is_vouched_for(copied: Path) -> None:
    assert {*names(copied), "bundle.json"} == {
        str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()
    }
    for name in names(copied):
        path = copied / name
        content = path.read_bytes()
        for spoilt in (b"", content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
            path.write_bytes(spoilt)
            with pytest.raises(UserError, match=f"{path.name} is damaged"):
                ColdStart.load(copied, engine="cpu")
        path.unlink()
        with pytest.raises(UserError, match="missing from the bundle"):
            ColdStart.load(copied, engine="cpu")
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "schema 99"),
        ({"format": "another"}, "damaged or not of a bundle"),
        ({"files": []}, "damaged or not of a bundle"),
        ({"files": {"../escape": "0"}}, "damaged or not of a bundle"),
        ({"files": {}}, "bundle.json is damaged or of another version"),
    ],
)
def test_a_foreign_bundle_is_refused(copied: Path, change: dict[str, Any], words: str) -> None:
    index = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(index | change))
    with pytest.raises(UserError, match=words):
        ColdStart.load(copied, engine="cpu")


def test_mistakes_of_a_caller_are_one_sentence(loaded: ColdStart, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no bundle"):
        ColdStart.load(tmp_path / "nothing", engine="cpu")
    with pytest.raises(UserError, match="call fit, or load one"):
        _ = ColdStart(engine="cpu").segments
    with pytest.raises(UserError, match="'semmi' is none of"):
        loaded.recommend({"user_id": [1]}, strategy="semmi")
    bad: list[Any] = [0, 10_000, "5", 5.0]
    for k in bad:
        with pytest.raises(UserError, match=f"k is {k!r}"):
            loaded.recommend({"user_id": [1]}, k=k)
    frames: Any = {"users": {}}
    with pytest.raises(UserError, match="takes a Dataset, not a dict"):
        ColdStart(engine="cpu").fit(frames)
    with pytest.raises(UserError, match="user_id"):
        loaded.recommend({"name": [1]})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(UserError, match="is not a bundle"):
        loaded.save(tmp_path / "mine")


def test_saving_again_replaces_the_bundle_or_leaves_it(
    loaded: ColdStart, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "strategies/of_before.safetensors").touch()
    before = ColdStart.load(copied, engine="cpu").config
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="disk is full"):
            loaded.save(copied)
    assert ColdStart.load(copied, engine="cpu").config == before
    link = copied.with_name("current")
    link.symlink_to(copied.name)
    loaded.save(link)
    assert link.is_symlink()
    assert not (copied / "strategies/of_before.safetensors").exists()
    assert ColdStart.load(link, engine="cpu").config == before
    assert {path.name for path in copied.parent.iterdir()} == {"copy", "current"}


def full(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_which_engine_it_is_and_why_is_logged(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "gpu_coldstart"):
        ColdStart.load(bundle, engine="cpu")
    assert "engine cpu: asked for" in caplog.text


def test_serving_imports_no_more_than_it_needs(bundle: Path) -> None:
    script = f"""
import sys
from gpu_coldstart import ColdStart
ColdStart.load({str(bundle)!r}, engine="cpu").recommend({{"user_id": [1], "country": ["FR"]}}, k=5)
heavy = ("torch", "numba", "matplotlib", "onnx", "scipy.stats")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=one_thread(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
