"""Requests that must not be answered: each with its status and a sentence that names the field."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.service.stores import Known, MemoryStore, StoreError
from tests.service.helpers import Echo, bundles_of, client, echoing

pytestmark = pytest.mark.anyio

ASK = "/v1/recommendations"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def shared() -> FastAPI:
    """An application that many tests may ask, since none changes it."""
    return echoing()


def event(**changes: Any) -> str:
    return json.dumps({"events": [{"action": "stream", "entity": "track", "id": 1} | changes]})


BODIES = [
    ("", "body"),
    ("null", "body"),
    ("[]", "body"),
    ("{", "body"),
    ('{"k": 1', "body"),
    ("[" * 100_000, "body"),
    ('{"a":' * 100_000, "body"),
    ('{"events":' + "[" * 50_000 + "]" * 50_000 + "}", "body"),
    (b'{"country": "\xff"}', "body"),
    (b'{"country": "\\ud800"}', "body"),
    (b"\x00", "body"),
    ("{'k': 1}", "body"),
    ('{"k": 0}', "k"),
    ('{"k": -1}', "k"),
    ('{"k": 101}', "k"),
    ('{"k": 1e9}', "k"),
    ('{"k": "5"}', "k"),
    ('{"k": true}', "k"),
    ('{"k": ' + "9" * 4000 + "}", "k"),
    ('{"age": -1}', "age"),
    ('{"age": 131}', "age"),
    ('{"age": 30.5}', "age"),
    ('{"age": "30"}', "age"),
    ('{"country": 1}', "country"),
    (json.dumps({"country": "x" * 65}), "country"),
    ('{"user_id": 1.5}', "user_id"),
    ('{"user_id": ""}', "user_id"),
    ('{"user_id": true}', "user_id"),
    ('{"user_id": {}}', "user_id"),
    (json.dumps({"user_id": "x" * 257}), "user_id"),
    ('{"strategy": "none"}', "strategy"),
    ('{"strategy": ""}', "strategy"),
    ('{"explain": 1}', "explain"),
    ('{"colour": 1}', "colour"),
    ('{"events": {}}', "events"),
    ('{"events": [1]}', "events[0]"),
    ('{"events": [{}]}', "events[0].action"),
    (event(action="steal"), "events[0].action"),
    (event(action=None), "events[0].action"),
    (event(entity="planet"), "events[0].entity"),
    (event(id=None), "events[0].id"),
    (event(id=1.0), "events[0].id"),
    (event(id=2**63), "events[0].id"),
    (event(id=-(2**63) - 1), "events[0].id"),
    (event(id="x" * 257), "events[0].id"),
    (event(count=0), "events[0].count"),
    (event(count=-1), "events[0].count"),
    (event(count=1e10), "events[0].count"),
    (event(count=float("nan")), "events[0].count"),
    (event(count=float("inf")), "events[0].count"),
    (event(count="2"), "events[0].count"),
    (event(timestamp="yesterday"), "events[0].timestamp"),
    (event(extra=1), "events[0].extra"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=lambda part: repr(part)[:40])
async def test_a_wrong_body_is_refused_and_the_field_named(
    body: str | bytes, field: str, shared: FastAPI
) -> None:
    async with client(shared) as web:
        answer = await web.post(ASK, content=body, headers=JSON)
    assert answer.status_code == 422
    told = answer.json()
    assert told["field"] == field
    assert len(told["error"]) < 300
    assert field in told["error"] or field in ("k", "strategy")


async def test_a_wrong_user_of_many_is_named() -> None:
    async with client(echoing()) as web:
        for user, field in (
            ({"k": 0}, "users[2].k"),
            ({"k": 200}, "users[2].k"),
            ({"strategy": "none"}, "users[2].strategy"),
            ({"country": "mistaken"}, "users[2]"),
        ):
            answer = await web.post(f"{ASK}/batch", json={"users": [{}, {}, user]})
            assert (answer.status_code, answer.json()["field"]) == (422, field)
        for count in (0, 1001):
            users: list[object] = [{}] * count
            answer = await web.post(f"{ASK}/batch", json={"users": users})
            assert (answer.status_code, answer.json()["field"]) == (422, "users")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/segments/x", "number"),
        ("/v1/segments/99999999999999999999999999", "number"),
        ("/v1/search?kind=planet", "kind"),
        ("/v1/search", "kind"),
        ("/v1/search?kind=track&limit=0", "limit"),
        ("/v1/search?kind=track&limit=101", "limit"),
        (f"/v1/search?kind=track&q={'x' * 201}", "q"),
        ("/v1/users/zoe/recommendations?k=x", "k"),
        ("/v1/users/zoe/recommendations?k=101", "k"),
        ("/v1/users/zoe/recommendations?strategy=none", "strategy"),
        ("/v1/users/zoe/recommendations?explain=maybe", "explain"),
        ("/v1/users/zoe/carousels?n=0", "n"),
    ],
)
async def test_a_wrong_parameter_is_named(path: str, field: str, shared: FastAPI) -> None:
    async with client(shared) as web:
        await web.post("/v1/events", json={"user_id": "zoe"})
        answer = await web.get(path)
    assert (answer.status_code, answer.json().get("field")) in {(422, field), (404, None)}
    assert (answer.status_code == 404) == ("9999" in path)


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fetc/passwd", "/page/../app.py", "/%00", "/%2f", "/v2"]
)
async def test_no_path_leads_to_a_file(path: str, shared: FastAPI) -> None:
    async with client(shared) as web:
        answer = await web.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "nothing is at this path"})


async def test_a_wrong_method_says_which_is_right() -> None:
    async with client(echoing()) as web:
        answer = await web.get(ASK)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
async def test_a_body_must_be_json(kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    async with client(echoing()) as web:
        assert (await web.post(ASK, content="{}", headers=headers)).status_code == 415
        good = {"content-type": "Application/JSON; charset=utf-8"}
        assert (await web.post(ASK, content="{}", headers=good)).status_code == 200


async def test_too_large_a_body_is_refused_whether_or_not_it_says_so() -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 1024

    async with client(echoing(max_body=4096)) as web:
        told = await web.post(ASK, content=b" " * 4097, headers=JSON)
        untold = await web.post(ASK, content=chunks(), headers=JSON)
        fits = await web.post(ASK, content=b"{}" + b" " * 4094, headers=JSON)
    for answer in (told, untold):
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert "4096 bytes" in answer.json()["error"]
    assert sent < 100
    assert fits.status_code == 200


async def test_a_body_that_does_not_end_is_not_waited_for() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)
        yield b"}"

    async with client(echoing(body_timeout_s=0.1)) as web:
        answer = await web.post(ASK, content=slow(), headers=JSON)
    assert answer.status_code == 408
    assert "0.1 seconds" in answer.json()["error"]


async def test_too_many_events() -> None:
    one = {"action": "stream", "entity": "track", "id": 1}
    many: list[Any] = [one] * 11
    async with client(echoing(max_events=10)) as web:
        asked = await web.post(ASK, json={"events": many})
        listed = await web.post(f"{ASK}/batch", json={"users": [{}, {"events": many}]})
        kept = await web.post("/v1/events", json={"user_id": 1, "events": many})
        await web.post("/v1/events", json={"user_id": 1, "events": many[:6]})
        grown = await web.post("/v1/events", json={"user_id": 1, "events": many[:6]})
    for answer, field in (
        (asked, "events"),
        (listed, "users[1].events"),
        (kept, "events"),
        (grown, "events"),
    ):
        assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_hundred_thousand_events_are_taken_where_the_settings_allow() -> None:
    one = {"action": "stream", "entity": "track", "id": 1}
    async with client(echoing(max_events=100_000, max_body=16 << 20)) as web:
        answer = await web.post(ASK, json={"events": [one] * 100_000})
    assert len(answer.json()["tracks"]) == 100_000


async def test_what_the_model_cannot_answer_is_the_users_mistake() -> None:
    async with client(echoing()) as web:
        answer = await web.post(ASK, json={"country": "mistaken"})
    assert answer.status_code == 422
    assert answer.json() == {"error": "nothing is left to recommend to this user"}


async def test_an_error_nobody_expected_is_in_the_log_and_not_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client(echoing()) as web:
        with caplog.at_level(logging.ERROR, "gpu_coldstart"):
            answer = await web.post(ASK, json={"country": "broken"})
    told = answer.json()
    assert (answer.status_code, told["error"]) == (500, "internal error")
    assert "secret" not in answer.text
    assert f"request {told['request']}" in caplog.text
    assert "RuntimeError: secret of the inside" in caplog.text


async def test_overload_and_deadline() -> None:
    model = Echo()
    app = echoing(model, queue=1, batch=1, deadline_s=0.3)
    async with client(app) as web:
        model.go_on.clear()
        answers = await asyncio.gather(*(web.post(ASK, json={}) for _ in range(8)))
        model.go_on.set()
        text = (await web.get("/metrics")).text
        assert (await web.post(ASK, json={})).status_code == 200
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {503, 504}
    assert statuses.count(504) in (1, 2)
    for answer in answers:
        assert (answer.headers.get("retry-after") == "1") == (answer.status_code == 503)
    refused = 'gpu_coldstart_refused_total{reason="overload"} '
    assert f"{refused}{float(statuses.count(503))}" in text


async def test_what_cannot_be_taken_is_not_read() -> None:
    model = Echo()
    app = echoing(model, queue=1, batch=1)
    async with client(app) as web:
        await web.post("/v1/events", json={"user_id": 1})
        model.go_on.clear()
        asking = []
        for busy in ("_working", "_depth"):
            asking.append(asyncio.create_task(web.post(ASK, json={})))
            async with asyncio.timeout(20):
                while getattr(app.state.service._questions, busy) < 1:
                    await asyncio.sleep(0.001)
        answers = [
            await web.post(ASK, content="no JSON", headers=JSON),
            await web.post(f"{ASK}/batch", content="no JSON", headers=JSON),
            await web.get("/v1/users/1/recommendations"),
        ]
        assert (await web.post("/v1/events", json={"user_id": 2})).status_code == 200
        model.go_on.set()
        assert [(await each).status_code for each in asking] == [200, 200]
    assert [answer.status_code for answer in answers] == [503] * 3


async def test_a_store_that_is_away_is_no_mistake_of_the_client() -> None:
    class Away(MemoryStore):
        async def check(self) -> None:
            raise StoreError("the store is away")

        async def get(self, user: str) -> Known | None:
            raise StoreError("the store is away")

        async def add(self, user: str, known: Known) -> Known:
            raise StoreError("the store is away")

    app = create_app(Settings(Path("/none")), bundles_of(Echo()), Away(1.0, 1, 1))
    async with client(app) as web:
        answers: list[httpx.Response] = [
            await web.get("/v1/users/1/recommendations"),
            await web.post("/v1/events", json={"user_id": 1}),
            await web.get("/readyz"),
        ]
        assert (await web.post(ASK, json={"user_id": 1})).status_code == 200
    for answer in answers:
        assert (answer.status_code, answer.json()) == (503, {"error": "the store is away"})
