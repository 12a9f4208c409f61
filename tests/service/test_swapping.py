"""A bundle is exchanged while it is asked: no request is lost, and none is answered by two."""

from __future__ import annotations

import asyncio
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.bundles import Bundles
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.serving.recommender import Question, Recommender
from tests.service.helpers import client

pytestmark = pytest.mark.anyio


async def test_nothing_is_lost_and_every_answer_is_its_bundles(
    bundle: Path, other: Path, tmp_path: Path
) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    lists = {}
    for directory in (bundle, other):
        model = Recommender.load(directory)
        (answer,) = model.answer([Question(country="FR", k=10, strategy="semi")])
        lists[model.version] = [(track.id, track.score) for track in answer.tracks]
    assert len(set(map(str, lists.values()))) == 2
    app = create_app(Settings(place, deadline_s=60, batch=8), Bundles(place))
    asked = {"country": "FR", "k": 10, "strategy": "semi"}
    seen: list[str] = []
    async with client(app) as web:
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                answer = await web.post("/v1/recommendations", json=asked)
                assert answer.status_code == 200, answer.text
                told = answer.json()
                found = [(track["id"], track["score"]) for track in told["tracks"]]
                assert found == [
                    (key, pytest.approx(score)) for key, score in lists[told["bundle"]]
                ]
                seen.append(told["bundle"])

        asking = [asyncio.create_task(ask()) for _ in range(12)]
        for directory in (other, bundle, other):
            await asyncio.sleep(0.1)
            shutil.rmtree(place)
            shutil.copytree(directory, place)
            assert await app.state.service.reload()
            count = len(seen)
            while len(seen) < count + 24:
                await asyncio.sleep(0.01)
            assert seen[-1] == app.state.service.bundles.current.version
        app.state.service.rollback()
        done.set()
        await asyncio.gather(*asking)
    assert set(seen) == set(lists)
    assert sum(one != two for one, two in pairwise(seen)) >= 3
