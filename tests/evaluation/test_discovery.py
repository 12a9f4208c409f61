"""The trade-off between accuracy and discovery, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_coldstart.evaluation.discovery import discovery
from gpu_coldstart.evaluation.exposure import exposure
from gpu_coldstart.strategies.discovery import TradeOff


def test_rows_are_those_of_exposure_with_accuracy() -> None:
    random = np.random.default_rng(0)
    n_users, n_tracks, dials, names = 30, 50, (0.0, 0.5, 3.0), ("FR", "BR", "DE")
    users = random.permutation(40)[:n_users]
    codes = random.integers(-1, 3, 40)
    tracks = random.integers(0, n_tracks, (3, n_users, 6)).astype(np.int32)
    ndcg = random.random((3, n_users)).astype(np.float32)
    popularity = np.sort(random.integers(0, 20, n_tracks))[::-1]
    made = TradeOff(users, tracks, ndcg, dials)
    rows = list(discovery(made, popularity, 25, (codes, names)))
    assert [row["discovery"] for row in rows] == [dial for dial in dials for _ in range(4)]
    for place, dial in enumerate(dials):
        here = [row for row in rows if row["discovery"] == dial]
        wanted = list(exposure(tracks[place] + 1, popularity, 25, (codes[users], names)))
        for row, known in zip(here, wanted, strict=True):
            assert known.items() <= row.items()
            assert row["k"] == 6
            mine = [
                float(ndcg[place, i])
                for i, user in enumerate(users)
                if row["country"] in {"all", None if codes[user] < 0 else names[codes[user]]}
            ]
            assert row["users"] == len(mine)
            assert row["ndcg"] == pytest.approx(sum(mine) / len(mine))
