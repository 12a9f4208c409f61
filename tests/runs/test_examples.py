"""The users whom the report shows up close, found again in what else the run left."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.runs.artifacts import decode
from tests.runs.helpers import Result, learned, results
from tests.runs.test_analysis import arrays, lists, table


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
