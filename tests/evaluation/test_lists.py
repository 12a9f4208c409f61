"""Recommendations measured without a run, against one user at a time in plain Python."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation import Evaluation, evaluate
from gpu_coldstart.evaluation.measures import MEASURES, TEXTBOOK

Lists = dict[Any, list[Any]]
TRUTH = {"user_id": [1, 1, 2], "track_id": [5, 6, 7]}
LISTS = {"user_id": [1, 1, 2, 2], "rank": [1, 2, 1, 2], "track_id": [5, 9, 9, 7]}


def naive(ranked: list[Any], wanted: set[Any], k: int) -> dict[str, float]:
    """Every measure of one list, from its definition."""
    hits = [track in wanted for track in ranked[:k]]
    most = min(k, len(wanted))
    gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
    return {
        "precision": sum(hits) / most,
        "recall": sum(hits) / len(wanted),
        "ndcg": gain / sum(1 / math.log2(place + 2) for place in range(most)),
        "textbook_precision": sum(hits) / k,
        "map": sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit) / most,
        "mrr": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
        "hit_rate": float(any(hits)),
    }


def world(seed: int) -> tuple[Lists, dict[Any, set[Any]], Lists]:
    """Two strategies' lists, some short or missing, some of strangers; and the truth."""
    dice = random.Random(seed)
    users, tracks = [f"u{i}" for i in range(30)], [f"t{i}" for i in range(25)]
    one = {user: dice.sample(tracks, dice.randint(1, 12)) for user in users}
    other = {user: dice.sample([*tracks, "unheard"], 12) for user in users[3:]}
    return one, {user: set(dice.sample(tracks, dice.randint(1, 15))) for user in users[:25]}, other


def frame(lists: Lists, seed: int) -> dict[str, list[Any]]:
    """Lists as columns, rows in random order."""
    rows = [(user, i + 1, track) for user, ts in lists.items() for i, track in enumerate(ts)]
    random.Random(seed).shuffle(rows)
    return dict(
        zip(("user_id", "rank", "track_id"), map(list, zip(*rows, strict=True)), strict=True)
    )


def truth_frame(truth: dict[Any, set[Any]]) -> dict[str, list[Any]]:
    pairs = [(user, track) for user, tracks in truth.items() for track in tracks]
    pairs += pairs[:7]  # said twice, counted once
    return {"user_id": [u for u, _ in pairs], "track_id": [t for _, t in pairs]}


@pytest.mark.parametrize("seed", range(5))
def test_naively_the_same(seed: int) -> None:
    one, truth, other = world(seed)
    lists = {"one": frame(one, seed), "other": frame(other, seed)}
    result = evaluate(lists, truth_frame(truth), k=(10, 1, 5), bootstrap=50)
    rows = result.per_user.to_pylist()
    assert len(rows) == 2 * 3 * len(truth)
    assert list(rows[0]) == ["strategy", "k", "user_id", *MEASURES, *TEXTBOOK]
    for row in rows:
        ranked = {"one": one, "other": other}[row["strategy"]].get(row["user_id"], [])
        wanted = naive(ranked, truth[row["user_id"]], row["k"])
        assert_allclose([row[name] for name in wanted], list(wanted.values()), rtol=1e-12)
    assert result.not_measured == {"one": 5, "other": 5}
    assert result.without_list == {"one": 0, "other": 3}
    for row in result.summary.to_pylist():
        values = [
            each[row["measure"]]
            for each in rows
            if (each["strategy"], each["k"]) == (row["strategy"], row["k"])
        ]
        assert_allclose(row["mean"], sum(values) / len(truth))
        assert row["users"] == len(truth)
        assert row["low"] <= row["mean"] <= row["high"]
    means = {(r["strategy"], r["k"], r["measure"]): r["mean"] for r in result.summary.to_pylist()}
    compared = result.comparisons.to_pylist()
    assert {(row["k"], row["measure"]) for row in compared} == {
        (k, measure) for k in (1, 5, 10) for measure in MEASURES
    }
    for row in compared:
        a, b = (means[row[name], row["k"], row["measure"]] for name in ("strategy_a", "strategy_b"))
        assert_allclose(row["difference"], a - b, atol=1e-12)
        assert row["p_wilcoxon"] <= row["p_holm"] <= 1


def test_perfect_lists_are_exactly_one() -> None:
    truth = {user: set(range(user)) for user in range(1, 60)}
    lists = {user: sorted(tracks) for user, tracks in truth.items()}
    result = evaluate(frame(lists, 0), truth_frame(truth), k=range(1, 60), bootstrap=1)
    for name in ("precision", "ndcg", "map", "mrr", "hit_rate"):
        assert set(result.per_user[name].to_pylist()) == {1.0}


def same(a: Evaluation, b: Evaluation) -> bool:
    return bool(a.per_user.equals(b.per_user) and a.summary.equals(b.summary))


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame])
@pytest.mark.parametrize("ids", [int, str])
def test_frames_and_ids_of_any_kind(make: Any, ids: Any) -> None:
    def named(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            key: cells if key == "rank" else [ids(cell) for cell in cells]
            for key, cells in columns.items()
        }

    result = evaluate(make(named(LISTS)), make(named(TRUTH)), k=2)
    assert result.per_user["user_id"].to_pylist() == [ids(1), ids(2)]
    assert result.per_user["recall"].to_pylist() == [0.5, 1.0]
    assert same(result, evaluate(named(LISTS), named(TRUTH), k=[2]))


def test_the_order_of_rows_does_not_matter() -> None:
    one, truth, _ = world(3)
    wanted = evaluate(frame(one, 0), truth_frame(truth), k=5)
    backwards = {key: cells[::-1] for key, cells in truth_frame(truth).items()}
    assert same(wanted, evaluate(frame(one, 1), backwards, k=5))


def test_categories_and_narrow_integers() -> None:
    lists = pd.DataFrame(LISTS).astype({"track_id": "int16", "rank": "uint8"})
    lists["user_id"] = lists["user_id"].astype(str).astype("category")
    truth = pd.DataFrame(TRUTH).astype({"user_id": str})
    assert evaluate(lists, truth, k=2).per_user["recall"].to_pylist() == [0.5, 1.0]


def test_markdown_explains_precision() -> None:
    text = evaluate({"a|b": LISTS, "semi": LISTS}, TRUTH, k=[1, 2]).to_markdown()
    tables = text.strip().split("\n\n")
    assert len(tables) == 2
    for k, table in enumerate(tables, start=1):
        lines = table.splitlines()
        assert len({len(line) for line in lines}) == 1
        heads = [f"P@{k} (of min({k}, truth))", f"textbook P@{k}", f"MAP@{k}", f"hit rate@{k}"]
        assert all(head in lines[0] for head in heads)
        assert [line.split(" ")[1] for line in lines[2:]] == ["a\\|b", "Semi-Pers."]
    assert "75.00 ± 35.36" in tables[1]


@pytest.mark.parametrize(
    ("lists", "truth", "k", "sentence"),
    [
        (LISTS, {"user_id": [1]}, 2, "truth: column 'track_id' is missing; it has user_id"),
        (LISTS, {key: [] for key in TRUTH}, 2, "truth: column 'user_id' holds null"),
        (
            LISTS,
            pa.table({key: pa.array([], pa.int64()) for key in TRUTH}),
            2,
            "the truth has no rows",
        ),
        ({"a": {"user_id": [1]}}, TRUTH, 2, "lists 'a': column 'rank' is missing"),
        (
            LISTS | {"track_id": [5, None, 9, 7]},
            TRUTH,
            2,
            "lists 'recommendations': column 'track_id', row 2 is empty",
        ),
        (LISTS | {"track_id": [5, 5, 9, 7]}, TRUTH, 2, "user 1 has track_id 5 twice"),
        (LISTS | {"rank": [1, 2, 2, 2]}, TRUTH, 2, "user 2 has rank 2 twice"),
        (LISTS | {"rank": ["1", "2", "1", "2"]}, TRUTH, 2, "'rank' holds string, not integers"),
        (LISTS | {"user_id": [1.5] * 4}, TRUTH, 2, "'user_id' holds double, not integers or"),
        (LISTS | {"user_id": ["1"] * 4}, TRUTH, 2, "holds string, but the truth's holds int64"),
        (LISTS, TRUTH, 0, "k is 0"),
        (LISTS, TRUTH, [], r"k is \[\]"),
        (LISTS, TRUTH, 1.5, "k is 1.5"),
        (LISTS, TRUTH, "50", "k is '50'"),
        (LISTS, TRUTH, None, "k is None"),
        (LISTS, TRUTH, True, "k is true"),
        (LISTS, TRUTH, [[1], [1, 2]], r"k is \[\[1\]"),
        (LISTS, TRUTH, 2**40, "k is 1099511627776"),
        (
            LISTS | {"user_id": pa.array([2**63, 1, 2, 3], pa.uint64())},
            TRUTH,
            2,
            r"lists 'recommendations': column 'user_id' holds numbers beyond 2\*\*63 - 1",
        ),
        ({}, TRUTH, 2, "there are no lists"),
        ({"a": 3}, TRUTH, 2, "lists 'a': int is not a table"),
    ],
)
def test_mistakes_are_told_in_a_sentence(lists: Any, truth: Any, k: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluate(lists, truth, k=k)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"deviation": "nonsense"}, "'deviation' is 'nonsense': use one of disjoint, repeated"),
        ({"folds": 0}, "'folds' is 0: it must be at least 2"),
        ({"bootstrap": 0}, "'bootstrap' is 0: it must be at least 1"),
        ({"seed": -1}, "'seed' is -1: it must be at least 0"),
        ({"seed": 0.5}, "'seed' is 0.5"),
        ({"seed": -1, "folds": 1}, "'folds' is 1.*'seed' is -1"),
    ],
)
def test_impossible_options_are_told_in_a_sentence(option: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluate(LISTS, TRUTH, k=2, **option)


def test_options_may_be_integers_of_numpy() -> None:
    options: Any = {"k": np.int32(2), "folds": np.int64(2), "seed": np.int64(3)}
    assert same(evaluate(LISTS, TRUTH, **options), evaluate(LISTS, TRUTH, k=2, folds=2, seed=3))
