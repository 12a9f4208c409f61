"""Registration days of users."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gpu_coldstart.config.parameters import Config, SplitConfig
from gpu_coldstart.engine import Engine
from tests.expectations import expect
from tests.worlds import dense, some_world

CONFIG = Config(split=SplitConfig(warm_until="all"))


def test_streamed_on_day_one(engine: Engine) -> None:
    raw = some_world(3)
    wanted = expect(raw, CONFIG)
    picked = np.array([len(wanted.users) - 1, 2, 2])
    registrations = raw.logs(engine, CONFIG).registrations
    assert len(registrations) == len(wanted.users)
    found = registrations.streamed(engine, engine.asarray(picked), len(wanted.tracks))
    assert found.shape == (3, len(wanted.tracks))
    table = dense(engine, found)
    for row, place in zip(table, picked, strict=True):
        streams = wanted.registration.get((wanted.users[place], "streamed_songs"), Counter())
        assert {wanted.tracks[j]: row[j] for j in np.flatnonzero(row)} == {
            number: times for (_, number), times in streams.items()
        }
