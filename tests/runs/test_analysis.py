"""The evaluation's tables out of a whole run, counted over again from what else the run left."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load

from gpu_coldstart.config.components import BestConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.evaluation import evaluate
from gpu_coldstart.evaluation.groups import SMALLER, interactions
from gpu_coldstart.evaluation.measures import TEXTBOOK
from gpu_coldstart.evaluation.tables import SCHEMAS
from gpu_coldstart.reporting.labels import strategy_name
from gpu_coldstart.runs.artifacts import decode
from gpu_coldstart.strategies.best import Blend
from gpu_coldstart.strategies.candidates import OWN
from tests.builtin import SPACES, STRATEGIES
from tests.runs.helpers import (
    SIZES,
    Result,
    Tables,
    column,
    command,
    events,
    learned,
    listed,
    manifest,
    members,
    of_group,
    results,
    synthetic,
    tabled,
    with_column,
    write,
)
from tests.runs.test_places import barest

Done = tuple[Path, Result]
Row = dict[str, Any]
MEASURES = ("precision", "recall", "ndcg")
FEW = ("--space", "tt-svd", "--strategies", "popularity,semi")


def table(out: Path, name: str) -> list[Row]:
    rows: list[Row] = pq.read_table(out / f"artifacts/analysis/{name}.parquet").to_pylist()
    return rows


def chosen(rows: list[Row], **values: Any) -> list[Row]:
    return [row for row in rows if values.items() <= row.items()]


def measured(out: Path, space: str, strategy: str) -> dict[str, list[float]]:
    """Each test user's measures."""
    path = out / f"artifacts/{space}/{strategy}.measures.parquet"
    values = pq.read_table(path).to_pydict()
    return {measure: values[f"{measure}@10"] for measure in MEASURES}


def lists(out: Path, space: str, strategy: str) -> dict[int, list[int]]:
    """Each test user's recommended tracks."""
    found: dict[int, list[int]] = {}
    for row in pq.read_table(out / f"recommendations/{space}/{strategy}.parquet").to_pylist():
        found.setdefault(row["user_id"], []).append(row["track_id"])
    return found


def arrays(out: Path, name: str) -> Mapping[str, HostArray]:
    return load((out / f"artifacts/{name}.safetensors").read_bytes())


@pytest.fixture(scope="module")
def logs(done: Done) -> Logs:
    return decode(CpuEngine(), learned(done[0])["artifacts/logs.safetensors"], Logs)


def test_every_table_is_there_twice(done: Done) -> None:
    assert set(manifest(done[0])["stages"]["analysis"]) == tabled()
    for name, schema in SCHEMAS.items():
        rows = table(done[0], name)
        assert rows, name
        with (done[0] / f"tables/{name}.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        assert list(lines[0]) == list(schema) == list(rows[0])
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            for key, value in row.items():
                if isinstance(value, float):
                    assert float(line[key]) == value


def test_results_are_those_of_results_json(done: Done) -> None:
    rows = iter(table(done[0], "results"))
    for wanted in results(done[0])["rows"]:
        for measure in MEASURES:
            row = next(rows)
            assert (row["space"], row["strategy"], row["k"], row["measure"]) == (
                *(wanted[name] for name in ("space", "strategy", "k")),
                measure,
            )
            assert row["users"] == wanted["users"]
            assert (row["mean"], row["std"]) == (wanted[measure], wanted[f"{measure}_std"])
            assert [row["low"], row["high"]] == wanted[f"{measure}_ci95"]
        assert [next(rows)["measure"] for _ in TEXTBOOK] == [*TEXTBOOK]
    assert next(rows, None) is None


def test_results_hold_the_textbooks_measures(done: Done) -> None:
    """Of the saved lists, as a notebook would measure them."""
    files = learned(done[0])
    logs = decode(CpuEngine(), files["artifacts/logs.safetensors"], Logs)
    truth = decode(CpuEngine(), files["artifacts/truth.safetensors"], GroundTruth)
    tested = truth.of(CpuEngine(), "test")
    users = np.repeat(logs.user_ids[logs.users("test")], np.diff(tested.indptr))
    tracks = {"user_id": users, "track_id": logs.track_ids[tested.indices]}
    for space in SPACES:
        saved = {
            name: pq.read_table(done[0] / f"recommendations/{space}/{name}.parquet")
            for name in STRATEGIES
        }
        wanted = evaluate(saved, tracks, k=10, bootstrap=10)
        for row in wanted.summary.to_pylist():
            (mine,) = chosen(
                table(done[0], "results"),
                **{"space": space} | {key: row[key] for key in ("strategy", "k", "measure")},
            )
            assert_allclose(mine["mean"], row["mean"], rtol=1e-12)
            assert mine["users"] == row["users"]


def test_comparisons_are_of_each_users_measures(done: Done) -> None:
    rows = table(done[0], "comparisons")
    assert len(rows) == len(SPACES) * len(MEASURES) * math.comb(len(STRATEGIES), 2)
    for space in SPACES:
        for measure in MEASURES:
            for a, b in combinations(STRATEGIES, 2):
                (row,) = chosen(rows, space=space, measure=measure, strategy_a=a, strategy_b=b)
                mine, its = (measured(done[0], space, name)[measure] for name in (a, b))
                differences = [x - y for x, y in zip(mine, its, strict=True)]
                assert_allclose(row["difference"], sum(differences) / len(mine), atol=1e-12)
                assert row["low"] - 0.05 <= row["difference"] <= row["high"] + 0.05
                assert row["p_wilcoxon"] <= row["p_holm"] <= 1


def test_strata_are_of_the_right_users(done: Done, logs: Logs) -> None:
    rows = chosen(table(done[0], "strata"), strategy="semi", space="ut-als", measure="ndcg")
    test = logs.users("test")
    values = measured(done[0], "ut-als", "semi")["ndcg"]
    names = [signal.name for signal in SIGNALS]
    signals = logs.signals[test]
    known: dict[str, list[Any]] = {
        "onboarding_artists": signals[:, names.index("onboarding_like_artists")].tolist(),
        "streams": signals[:, names.index("streamed_songs")].tolist(),
        "skips": signals[:, names.index("skipped_songs")].tolist(),
        "interactions": signals.sum(axis=1).tolist(),
        "country": [(*logs.countries, "unknown")[code] for code in logs.country[test]],
        "age": [
            6 if math.isnan(age) else sum(age >= first for first in (18, 25, 35, 50, 65))
            for age in logs.age[test].tolist()
        ],
    }
    assert set(known) == {row["by"] for row in rows}
    for by, what in known.items():
        assert sum(row["users"] for row in chosen(rows, by=by)) == len(values)
        for row in chosen(rows, by=by):
            if by == "country":
                inside = [name == row["group"] for name in what]
            elif by == "age":
                inside = [place == row["order"] for place in what]
            elif row["order"] == 0:
                assert row["group"] == ("none at all" if by == "interactions" else "0")
                inside = [count == 0 for count in what]
            elif by == "interactions":
                continue  # a stream counts once among them, and thrice in the sum of signals
            else:
                inside = list(map(of_group(row["group"]), what))
            mine = [value for value, one in zip(values, inside, strict=True) if one]
            assert row["users"] == len(mine)
            assert_allclose(row["mean"], sum(mine) / len(mine))


def test_exposure_is_of_the_recommended_tracks(done: Done, logs: Logs) -> None:
    rank = {track: i + 1 for i, track in enumerate(logs.track_ids.tolist())}
    test = logs.users("test")
    codes = dict(zip(logs.user_ids[test].tolist(), logs.country[test].tolist(), strict=True))
    rows = table(done[0], "exposure")
    sizes = Counter(code for code in codes.values() if code >= 0).values()
    for space in SPACES:
        for strategy in STRATEGIES:
            mine = chosen(rows, space=space, strategy=strategy)
            assert mine[0]["country"] == "all"
            assert [row["users"] for row in mine] == [len(codes), *sorted(sizes)[::-1]]
            found = lists(done[0], space, strategy)
            for row in mine:
                ranks = [
                    rank[track]
                    for user, tracks in found.items()
                    for track in tracks
                    if row["country"] in ("all", (*logs.countries, "")[codes[user]])
                ]
                assert row["k"] == 10
                assert_allclose(row["mean"], sum(ranks) / len(ranks))
                assert row["share_top_100"] == sum(r <= 100 for r in ranks) / len(ranks)
                assert row["p50"] == median(ranks)
            everywhere = {track for tracks in found.values() for track in tracks}
            assert mine[0]["coverage"] == len(everywhere) / len(rank)
            assert 0 <= mine[0]["gini"] < 1
    chart = chosen(rows, strategy="popularity", country="all")
    assert {(row["p5"], row["p50"], row["mean"]) for row in chart} == {(1.0, 5.5, 5.5)}


def test_segments_name_their_tracks_and_playlists(done: Done, logs: Logs, tables: Tables) -> None:
    tracks_of: dict[int, list[int]] = {}
    for row in tables["playlists"].to_pylist():
        tracks_of.setdefault(row["playlist_id"], []).append(row["track_id"])
    for space in SPACES:
        rows = chosen(table(done[0], "segments"), space=space)
        described = pq.read_table(done[0] / f"artifacts/{space}/segments.parquet").to_pylist()
        named = pq.read_table(done[0] / f"artifacts/{space}/segments.tracks.parquet").to_pylist()
        assert [{key: row[key] for key in described[0]} for row in rows] == described
        shares = arrays(done[0], f"{space}/segments")
        for row in rows:
            top = chosen(named, segment=row["segment"])[:5]
            assert row["track_ids"] == [one["track_id"] for one in top]
            assert_allclose(row["track_probabilities"], [one["probability"] for one in top])
            first, last = shares["shares.indptr"][row["segment"] :][:2]
            ids = logs.track_ids[shares["shares.indices"][first:last]].tolist()
            share = dict(zip(ids, shares["shares.data"][first:last].tolist(), strict=True))
            means = {
                playlist: sum(share.get(track, 0) for track in set(tracks)) / len(set(tracks))
                for playlist, tracks in tracks_of.items()
                if len(set(tracks)) >= 10  # carousels.least_tracks
            }
            best = sorted(means.values(), reverse=True)[:3]
            assert_allclose(row["playlist_probabilities"], best)
            assert_allclose([means[playlist] for playlist in row["playlist_ids"]], best)


def test_calibration_is_of_the_predictions(done: Done, logs: Logs) -> None:
    rows = table(done[0], "calibration")
    for space in SPACES:
        truth = arrays(done[0], f"{space}/space")["users"]
        warm = arrays(done[0], f"{space}/predictions.warm")["embeddings"]
        assert warm.shape == truth.shape == (logs.n_warm, 8)
        cosines = [
            float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            for a, b in zip(warm, truth, strict=True)
        ]
        mine = chosen(rows, space=space, cohort="warm")
        assert sum(row["users"] for row in mine) == logs.n_warm
        whole = sum(row["users"] * row["mean"] for row in mine) / logs.n_warm
        assert_allclose(whole, sum(cosines) / len(cosines), rtol=1e-5)
        events = interactions(logs.signals[: logs.n_warm])
        for row in mine:
            if row["group"] not in {"none at all", SMALLER}:
                within = of_group(row["group"])
                inside = [c for c, n in zip(cosines, events, strict=True) if within(n)]
                assert_allclose(row["mean"], np.mean(inside), rtol=1e-5)
        # Over all validation users it is what early stopping went by.
        curve = json.loads((done[0] / f"artifacts/{space}/network.json").read_bytes())
        theirs = chosen(rows, space=space, cohort="validation")
        unheard = sum(not signals.any() for signals in logs.signals[logs.users("validation")])
        assert [row["users"] for row in chosen(theirs, order=0)] == [unheard] * bool(unheard)
        whole = sum(row["users"] * row["mean"] for row in theirs) / logs.n_validation
        assert_allclose(whole, curve["validation_cosine"][curve["best_epoch"] - 1], rtol=1e-5)


def test_learning_is_the_saved_curve(done: Done) -> None:
    for space in SPACES:
        rows = chosen(table(done[0], "learning"), space=space, trained="network")
        curve = json.loads((done[0] / f"artifacts/{space}/network.json").read_bytes())
        assert [row["epoch"] for row in rows] == [1, 2]
        for name in ("train_loss", "validation_cosine"):
            assert [row[name] for row in rows] == curve[name]
        assert [row["epoch"] for row in rows if row["kept"]] == [curve["best_epoch"]]


# -- other runs --------------------------------------------------------------------------------


def test_made_from_what_an_earlier_run_saved(done: Done, tmp_path: Path) -> None:
    """The stage alone done again, everything before it read."""
    out = tmp_path / "run"
    for name, content in (listed(done[0]) | {"run.log": b""}).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    told = manifest(done[0])
    del told["stages"]["analysis"], told["stages"]["report"]
    (out / "manifest.json").write_text(json.dumps(told))
    for name in tabled():
        (out / name).unlink()
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0, result.err
    assert result.out.count("kept from before") == 37
    assert listed(out) == listed(done[0])


def test_left_out_it_leaves_the_rest_as_it_is(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = command(*synthetic(evaluation__analysis="false"), "--out", out)
    assert result.status == 0, result.err
    assert "[34/34] evaluation" in result.out
    assert "tables/" not in result.out
    more = ("predictions.warm.safetensors", "examples.parquet")
    further = {f"artifacts/{space}/{name}" for space in SPACES for name in more}
    whole = learned(done[0])
    assert set(whole) - set(learned(out)) == tabled() | further
    assert all(whole[name] == content for name, content in learned(out).items())


def test_nothing_but_streams(tables: Tables, tmp_path: Path) -> None:
    data = write(barest(tables, 5), tmp_path / "data")
    out = tmp_path / "run"
    result = command(*events(data), *FEW, "--out", out)
    assert result.status == 0, result.err
    strata = table(out, "strata")
    for by in ("country", "age"):
        assert {row["group"] for row in chosen(strata, by=by)} == {"unknown"}
    assert {row["group"] for row in chosen(strata, by="onboarding_artists")} == {"0"}
    assert {row["country"] for row in table(out, "exposure")} == {"all"}
    for row in table(out, "segments"):
        assert (row["country"], row["age_class"], row["genres"]) == (None, None, [])
        assert (row["playlist_ids"], row["playlist_probabilities"]) == ([], [])
        assert row["track_ids"]
    assert table(out, "calibration")


def test_one_strategy_has_no_comparison(tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("--space", "tt-svd", "--strategies", "semi")
    result = command(*synthetic(), *few, "--k", "5,10", "--out", out)
    assert result.status == 0, result.err
    stored = pq.read_table(out / "artifacts/analysis/comparisons.parquet")
    assert stored.num_rows == 0
    assert stored.schema.field("p_holm").type == pa.float64()
    assert (out / "tables/comparisons.csv").read_text().splitlines() == [
        ",".join(SCHEMAS["comparisons"])
    ]
    assert {row["k"] for row in table(out, "strata")} == {5, 10}
    assert {row["k"] for row in table(out, "exposure")} == {10}


@pytest.mark.parametrize("users", [1, 2])
def test_next_to_no_users(tables: Tables, tmp_path: Path, users: int) -> None:
    kept = sorted(members(tables["users"], "test"))[:users]
    pairs = zip(column(tables["users"], "user_id"), column(tables["users"], "split"), strict=True)
    split = ["validation" if s == "test" and user not in kept else s for user, s in pairs]
    changed = tables | {"users": with_column(tables["users"], "split", split)}
    out = tmp_path / "run"
    result = command(*events(write(changed, tmp_path / "data")), *FEW, "--out", out)
    assert result.status == 0, result.err
    for row in table(out, "comparisons"):
        assert row["p_wilcoxon"] == row["p_holm"] == 1 or users == 2
        assert row["low"] - 1e-9 <= row["difference"] <= row["high"] + 1e-9
    assert {row["users"] for row in table(out, "results")} == {users}
    assert int(SIZES["segments.k"]) == len(table(out, "segments"))


def test_what_experts_add_is_told(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--space", "tt-svd", "--strategies", "best")
    assert command(*synthetic(), *options, "--out", out).status == 0
    state = decode(CpuEngine(), learned(out)["artifacts/tt-svd/best.state.safetensors"], Blend)
    assert sorted(state.tried) == sorted(BestConfig().experts)
    rows = table(out, "experts")
    assert {(row["space"], row["strategy"]) for row in rows} == {("tt-svd", "best")}
    assert [(row["expert"], row["added"]) for row in rows] == [
        *zip(state.tried, state.added, strict=True)
    ]
    assert {row["expert"] for row in chosen(rows, kept=True)} == set(state.experts)
    assert [(row["users"], row["ndcg"], row["single"]) for row in table(out, "blends")] == [
        (*each, state.single) for each in zip(state.users, state.reached, strict=True)
    ]
    weights = table(out, "weights")
    assert_allclose([row["weight"] for row in weights], state.weights, rtol=1e-6)
    assert [row["name"] for row in weights if row["kind"] == "expert"] == [
        strategy_name(name) for name in state.experts for _ in ("score", "rank")
    ]
    assert [row["name"] for row in weights if row["kind"] == "signal"] == list(OWN)
    page = (out / "report.html").read_text("utf-8")
    assert all(f'id="{name}-table"' in page for name in ("experts", "blends", "weights"))
