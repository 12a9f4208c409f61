"""The notebook in the documentation, on frames of pandas with ids that are strings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"


def write_logs() -> None:
    """Three months of a small service, as CSV files in the working directory."""
    random = np.random.default_rng(0)
    users, tracks, n = 300, 200, 9000
    since = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 90, users), unit="D")
    pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(users)],
            "registered_at": since,
            "country": random.choice(["FR", "DE"], users),
            "age": random.choice([18.0, 40.0, np.nan], users),
        }
    ).to_csv("users.csv", index=False)
    pd.DataFrame(
        {
            "track_id": [f"t{i}" for i in range(tracks)],
            "artist_id": [f"a{i % 20}" for i in range(tracks)],
            "title": [f"Song {i}" for i in range(tracks)],
        }
    ).to_csv("tracks.csv", index=False)
    who = random.integers(0, users, n)
    pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in who],
            "timestamp": since[who] + pd.to_timedelta(random.integers(0, 40, n), unit="D"),
            "action": random.choice(["stream", "favorite"], n, p=[0.9, 0.1]),
            "entity": "track",
            "entity_id": [f"t{int(i)}" for i in tracks * random.random(n) ** 2],
        }
    ).to_csv("interactions.csv", index=False)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(tmp_path)
    write_logs()
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    lists = names["lists"]
    assert lists["user_id"].tolist() == ["zoe"] * 10
    assert all(
        title == f"Song {track[1:]}"
        for track, title in zip(lists["track_id"], lists["title"], strict=True)
    )
    reasons = lists["reasons"][0]
    for kind in ("segments", "signals"):
        assert sum(float(each["share"]) for each in reasons[kind]) == pytest.approx(1, abs=1e-5)
    assert {"favorite_songs", "streamed_songs"} <= {each["signal"] for each in reasons["signals"]}
