"""Every way in which runs cannot be compared, in one sentence each."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from gpu_coldstart.errors import UserError
from gpu_coldstart.reporting.comparison import check
from gpu_coldstart.reporting.runs import FinishedRun, load_run
from tests.reporting.reading import comparing
from tests.runs.helpers import Result, refused, snapshot

MEASURED = "artifacts/tt-svd/semi.measures.parquet"


def test_too_few_or_the_same(runs: dict[str, Path]) -> None:
    refused(comparing(), "needs two runs")
    refused(comparing(runs["one"]), "needs two runs")
    refused(comparing(runs["one"], runs["one"].parent / "." / "one"), "named twice")


def test_no_run_there(runs: dict[str, Path], tmp_path: Path) -> None:
    refused(comparing(runs["one"], tmp_path / "none"), "none is not a directory")
    refused(comparing(tmp_path, runs["one"]), "holds no run", "manifest.json is missing")
    refused(comparing(runs["one"], runs["one"] / "results.json"), "is not a directory")


def test_an_unknown_ending_is_refused_first(tmp_path: Path) -> None:
    refused(comparing(tmp_path, "--out", tmp_path / "c.pdf"), "c.pdf does not end in .md, .html")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "c.md"
    refused(comparing(runs["one"], runs["other"], "--out", out), "cannot be written")


def test_nothing_in_common(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]

    def other(**changes: Any) -> FinishedRun:
        return replace(run, path=Path("other"), **changes)

    series = run.measures["tt-svd", "semi"]
    short = {("tt-svd", "semi"): {key: v for key, v in series.items() if key[1] == 5}}
    long = {("tt-svd", "semi"): {key: v for key, v in series.items() if key[1] == 10}}
    check([run, other(measures=short)])
    cases: list[tuple[list[FinishedRun], str]] = [
        ([run, other(config=run.config | {"dataset": "tafeng"})], "run on tafeng.*same data set"),
        (
            [other(measures=short), replace(run, measures=long)],
            "no length of list in common.*k = 5.*k = 10",
        ),
        ([run, other(measures={("x", "semi"): series})], "no strategy in the same space"),
        ([run], "nothing to be compared with"),
    ]
    for several, words in cases:
        with pytest.raises(UserError, match=words):
            check(several)


@pytest.fixture
def spoiled(runs: dict[str, Path], tmp_path: Path) -> Callable[..., Result]:
    """Compare with a copy of a run of which one file was changed, vouched for or not."""

    def spoil(name: str, change: Callable[[bytes], bytes | None], *, vouched: bool) -> Result:
        copy = tmp_path / "copy"
        shutil.copytree(runs["one"], copy, dirs_exist_ok=True)
        content = change((copy / name).read_bytes())
        if content is None:
            (copy / name).unlink()
        else:
            (copy / name).write_bytes(content)
            if vouched:
                manifest = json.loads((copy / "manifest.json").read_text())
                for files in manifest["stages"].values():
                    if name in files:
                        files[name] = hashlib.sha256(content).hexdigest()
                (copy / "manifest.json").write_text(json.dumps(manifest))
        before = snapshot(copy)
        result = comparing(runs["one"], copy, "--out", tmp_path / "c.html")
        assert snapshot(copy) == before
        assert result.status == 0 or not (tmp_path / "c.html").exists()
        return result

    return spoil


Spoiled = Callable[..., Result]


@pytest.mark.parametrize(
    "name", ["config.toml", "artifacts/logs.safetensors", MEASURED, "results.json", "manifest.json"]
)
@pytest.mark.parametrize("how", ["cut", "empty", "gone", "noise"])
def test_damaged_files_are_named(spoiled: Spoiled, name: str, how: str) -> None:
    changes: dict[str, Callable[[bytes], bytes | None]] = {
        "cut": lambda content: content[: len(content) // 2],
        "empty": lambda content: b"",
        "gone": lambda content: None,
        "noise": lambda content: b"\xff\x00" + content[2:],
    }
    told = refused(spoiled(name, changes[how], vouched=False))
    assert "copy" in told
    assert name in told or (name, how) == ("results.json", "gone")


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """A change of a JSON object."""

    def edit(content: bytes) -> bytes:
        told = json.loads(content)
        changed = change(told)
        return json.dumps(told if changed is None else changed).encode()

    return edit


@pytest.mark.parametrize(
    "change",
    [
        lambda told: [],
        lambda told: "text",
        lambda told: told.pop("stages") and None,
        lambda told: told.pop("engine") and None,
        lambda told: told.update(device=3),
        lambda told: told.update(stages=[{"name": "logs"}]),
        lambda told: told.update(stages=[{"name": 1, "seconds": 1}]),
        lambda told: told.update(stages=[{"name": "logs", "seconds": "soon"}]),
        lambda told: told.update(stages=[{"name": "logs", "seconds": float("nan")}]),
        lambda told: told.update(stages=[{"name": "logs", "seconds": 10**400}]),
        lambda told: told.update(stages=7),
        lambda told: told.update(stages=None),
    ],
)
def test_results_of_another_shape(
    spoiled: Spoiled, change: Callable[[dict[str, Any]], Any]
) -> None:
    told = refused(spoiled("results.json", edited(change), vouched=False), "results.json")
    assert "damaged or of another version" in told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["engine", "device", "stages", "name", "seconds"]), inner, max_size=5
        )
    ),
)


@pytest.fixture(scope="module")
def copy(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(runs["one"], tmp_path_factory.mktemp("fuzz") / "copy"))


@given(told=JSON)
def test_results_of_any_shape_are_read_or_refused(told: Any, copy: Path) -> None:
    (copy / "results.json").write_text(json.dumps(told))
    with suppress(UserError):
        assert load_run(copy).seconds.keys() == {stage["name"] for stage in told["stages"]}


@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "results.json"])
def test_any_flipped_byte_is_read_or_refused(
    data: Any, copy: Path, runs: dict[str, Path], name: str
) -> None:
    content = bytearray((runs["one"] / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (copy / name).write_bytes(content)
    with suppress(UserError):
        load_run(copy)
    shutil.copy(runs["one"] / name, copy / name)


def test_a_run_that_is_not_finished(spoiled: Spoiled) -> None:
    def without(told: dict[str, Any]) -> None:
        del told["stages"]["results"]

    refused(spoiled("manifest.json", edited(without), vouched=False), "not finished", "--resume")
    refused(spoiled("results.json", lambda content: None, vouched=False), "not finished")


def test_a_run_without_measures(spoiled: Spoiled) -> None:
    def without(told: dict[str, Any]) -> None:
        told["stages"] = {k: v for k, v in told["stages"].items() if "/" not in k}

    refused(spoiled("manifest.json", edited(without), vouched=False), "without measures")


def with_measures(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """A change of the columns of a table of measures."""

    def edit(content: bytes) -> bytes:
        columns = pq.read_table(io.BytesIO(content)).to_pydict()
        change(columns)
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        return sink.getvalue()

    return edit


def setting(name: str, values: Any) -> Callable[[dict[str, Any]], None]:
    def change(columns: dict[str, Any]) -> None:
        columns[name] = values(columns[name]) if callable(values) else values

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("user_id"), ["no column 'user_id'"]),
        (lambda c: c.pop("ndcg@10"), ["no column 'ndcg@10'"]),
        (lambda c: [c.pop(key) for key in [*c][1:]], ["no column 'precision@K'"]),
        (lambda c: [value.clear() for value in c.values()], ["user_id", "empty cells"]),
        (setting("user_id", lambda v: [*map(float, v)]), ["column 'user_id' is double"]),
        (setting("user_id", lambda v: [*map(str, v)]), ["other users"]),
        (setting("user_id", lambda v: [v[0], *v[:-1]]), ["names a user twice"]),
        (setting("user_id", lambda v: [None, *v[1:]]), ["1 empty cells"]),
        (setting("user_id", lambda v: [-1, *v[1:]]), ["other users"]),
        (setting("recall@5", lambda v: [*v[:-1], None]), ["'recall@5'", "1 empty cells"]),
        (setting("recall@5", lambda v: [*map(str, v)]), ["'recall@5' is string"]),
        (
            setting("recall@5", lambda v: [*v[:2], float("nan"), *v[3:]]),
            ["'recall@5', row 2 is nan"],
        ),
        (setting("ndcg@5", lambda v: [1.5, *v[1:]]), ["'ndcg@5', row 0 is 1.5"]),
        (setting("ndcg@5", lambda v: [float("inf"), *v[1:]]), ["row 0 is inf", "from 0 to 1"]),
    ],
)
def test_measures_that_are_none(
    spoiled: Spoiled, change: Callable[[dict[str, Any]], Any], words: list[str]
) -> None:
    refused(spoiled(MEASURED, with_measures(change), vouched=True), MEASURED, *words)


@pytest.mark.parametrize("name", [MEASURED, "artifacts/truth.safetensors", "config.toml"])
def test_vouched_for_but_something_else(spoiled: Spoiled, name: str) -> None:
    refused(spoiled(name, lambda content: b"[[something else", vouched=True), name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("truth", "user_ids"),
        ("truth", "tracks.indptr"),
        ("truth", "tracks.indices"),
        ("logs", "track_ids"),
    ],
)
def test_without_the_truth(spoiled: Spoiled, file: str, name: str) -> None:
    def without(content: bytes) -> bytes:
        arrays = load(content)
        del arrays[name]
        return save(arrays)

    def shorter(content: bytes) -> bytes:
        return save({key: v[:3] if key == name else v for key, v in load(content).items()})

    for change in (without, shorter):
        told = refused(spoiled(f"artifacts/{file}.safetensors", change, vouched=True))
        assert "does not hold the truth" in told
