"""Services that share a store in Redis, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.helpers import client, echoing
from tests.service.redis_server import free_port, redis_server

pytestmark = pytest.mark.anyio


async def test_what_one_service_hears_all_know_until_the_store_is_gone(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    stream = {"action": "stream", "entity": "track", "id": 5}
    zoe = {"user_id": 7, "country": "FR", "events": [stream, stream]}
    async with client(echoing(store=url)) as one, client(echoing(store=url)) as two:
        with redis_server(tmp_path, port):
            assert (await two.get("/readyz")).status_code == 200
            assert (await one.post("/v1/events", json=zoe)).json() == {"user_id": "7", "events": 2}
            assert (await two.post("/v1/events", json=zoe)).json() == {"user_id": "7", "events": 4}
            for each in (one, two):
                answer = (await each.get("/v1/users/7/recommendations")).json()
                assert [track["id"] for track in answer["tracks"]] == [5] * 4
                assert answer["description"] == "FR"
            assert (await two.get("/v1/users/8/recommendations")).status_code == 404
        refused = [
            await one.get("/readyz"),
            await one.get("/v1/users/7/recommendations"),
            await one.post("/v1/events", json=zoe),
        ]
        for answer in refused:
            assert answer.status_code == 503
            assert answer.json()["error"] == "the store of users cannot be reached"
            assert "retry-after" in answer.headers
        described = await one.post("/v1/recommendations", json={"events": [stream]})
        assert described.status_code == 200
        assert (await one.get("/healthz")).status_code == 200
        with redis_server(tmp_path, port):
            assert (await one.get("/readyz")).status_code == 200
            assert (await one.post("/v1/events", json=zoe)).json()["events"] == 2
