"""How much users did and whom the report shows up close, counted over from what the run left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.evaluation.groups import interactions
from gpu_coldstart.runs.artifacts import decode
from tests.runs.helpers import Result, learned, results
from tests.runs.test_analysis import arrays, lists, measured, table


def test_sizes_count_every_user(done: tuple[Path, Result]) -> None:
    logs = decode(CpuEngine(), learned(done[0])["artifacts/logs.safetensors"], Logs)
    found = np.diff(arrays(done[0], "truth")["tracks.indptr"])
    known = {
        ("tracks", "validation"): found[: logs.n_validation],
        ("tracks", "test"): found[logs.n_validation :],
    }
    for cohort in ("warm", "validation", "test"):
        known["events", cohort] = interactions(logs.signals[logs.users(cohort)])
    rows = table(done[0], "sizes")
    for (what, cohort), counts in known.items():
        mine = [row for row in rows if (row["what"], row["cohort"]) == (what, cohort)]
        for row in mine:
            inside = [row["least"] <= count <= row["most"] for count in counts]
            assert row["users"] == sum(inside)
        assert sum(row["users"] for row in mine) == len(counts)
        assert mine[-1]["users"]
        assert [row["least"] for row in mine[1:]] == [row["most"] + 1 for row in mine[:-1]]


def test_examples_are_users_of_the_best_lists(done: tuple[Path, Result]) -> None:
    logs = decode(CpuEngine(), learned(done[0])["artifacts/logs.safetensors"], Logs)
    rows = table(done[0], "examples")
    best = max(results(done[0])["rows"], key=lambda row: row["ndcg"])
    ranked = lists(done[0], best["space"], best["strategy"])
    truth = arrays(done[0], "truth")
    heard = {
        user: set(logs.track_ids[truth["tracks.indices"][start:stop]].tolist())
        for user, start, stop in zip(
            truth["user_ids"].tolist(), *(truth["tracks.indptr"][i:] for i in (0, 1)), strict=False
        )
    }
    counts = dict(zip(logs.user_ids.tolist(), np.diff(logs.registration.indptr[::18]), strict=True))
    assert [row["user"] for row in rows] == [*range(1, 11)]
    for row in rows:
        assert (row["space"], row["strategy"]) == (best["space"], best["strategy"])
        users = [user for user, mine in ranked.items() if mine == row["track_ids"]]
        hits = [[1 + i for i, each in enumerate(ranked[u]) if each in heard[u]] for u in users]
        fitting = [u for u, at in zip(users, hits, strict=True) if at == row["hits"]]
        assert row["wanted"] in {len(heard[user]) for user in fitting}
        assert {bool(counts[user]) for user in fitting} >= {bool(row["did"])}
        assert row["tracks"] == [str(each) for each in row["track_ids"]]
        for kind in ("segment", "signal", "part"):
            shares = row[f"{kind}_shares"]
            assert len(shares) == len(row[f"{kind}s"]) <= 4
            assert sum(shares) < 1.5
    assert len({row["group"] for row in rows}) > 3


def test_quality_by_segment_is_of_the_nearest_centroid(done: tuple[Path, Result]) -> None:
    logs = decode(CpuEngine(), learned(done[0])["artifacts/logs.safetensors"], Logs)
    cold = slice(logs.n_validation, logs.n_validation + logs.n_test)
    rows = [row for row in table(done[0], "segment-quality") if row["strategy"] == "semi"]
    for space in ("tt-svd", "ut-als"):
        predicted = arrays(done[0], f"{space}/predictions")["embeddings"][cold].astype(float)
        centroids = arrays(done[0], f"{space}/segments")["centroids"].astype(float)
        nearest = np.linalg.norm(predicted[:, None] - centroids, axis=2).argmin(axis=1)
        ndcg = np.array(measured(done[0], space, "semi")["ndcg"])
        mine = [row for row in rows if row["space"] == space]
        assert sum(row["users"] for row in mine) == logs.n_test
        for row in mine:
            if row["segment"] is not None:
                assert row["users"] == np.count_nonzero(nearest == row["segment"])
                assert row["mean"] == pytest.approx(ndcg[nearest == row["segment"]].mean())
        assert any(row["segment"] is not None for row in mine)
