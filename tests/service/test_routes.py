"""Every route, asked as a client would."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from gpu_coldstart.data.contract import ACTIONS, ENTITIES
from gpu_coldstart.service import schemas
from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.serving.recommender import Answer, Question, Recommender, Track
from tests.service.helpers import ADMIN, Echo, bearer, client, echoing

pytestmark = pytest.mark.anyio


def events(*ids: int | str) -> list[dict[str, Any]]:
    return [{"action": "stream", "entity": "track", "id": each} for each in ids]


def test_the_words_are_those_of_the_data_contract() -> None:
    assert get_args(schemas.Action) == ACTIONS
    assert get_args(schemas.Entity) == ENTITIES


async def test_the_lists_are_those_of_the_model(bundle: Path) -> None:
    model = Recommender.load(bundle)
    (wanted,) = model.answer([Question("FR", 31, k=7, strategy="semi", explain=True)])
    asked = {"user_id": 2**62, "country": "FR", "age": 31, "k": 7, "strategy": "semi"}
    async with client(create_app(Settings(bundle, deadline_s=30))) as web:
        answer = (await web.post("/v1/recommendations", json=asked | {"explain": True})).json()
        several = {"users": [asked, {"k": 3}]}
        answers = (await web.post("/v1/recommendations/batch", json=several)).json()["answers"]
        segment = (await web.get(f"/v1/segments/{wanted.segment}")).json()
        about = (await web.get("/v1/model")).json()
        missing = await web.get("/v1/segments/6")
    assert [track["id"] for track in answer["tracks"]] == [track.id for track in wanted.tracks]
    scores = [track.score for track in wanted.tracks]
    assert [track["score"] for track in answer["tracks"]] == pytest.approx(scores)
    assert (answer["segment"], answer["description"]) == (wanted.segment, wanted.description)
    assert wanted.reasons is not None
    assert answer["reasons"]["segments"] == wanted.reasons["segments"]
    assert (answer["user_id"], answer["bundle"]) == (2**62, model.version)
    assert answers[0] == answer | {"reasons": None}
    assert (len(answers[1]["tracks"]), answers[1]["user_id"]) == (3, None)
    assert segment["description"] == wanted.description
    likely = [track["probability"] for track in segment["tracks"]]
    assert likely == sorted(likely, reverse=True)
    assert len(likely) == len({track["id"] for track in segment["tracks"]}) > 0
    assert (missing.status_code, "no segment" in missing.json()["error"]) == (404, True)
    assert (about["version"], about["previous"]) == (model.version, None)
    assert (about["default"], sorted(about["strategies"])) == ("best", ["best", "semi"])
    assert about["n_tracks"] == model.n_tracks


async def test_all_that_is_said_reaches_the_model_and_all_it_answers_comes_back() -> None:
    asked = {
        "user_id": "zoe",
        "country": "FR",
        "age": 31,
        "k": 9,
        "strategy": "popularity",
        "exclude_seen": True,
        "explain": True,
        "events": [
            {"action": "skip", "entity": "album", "id": "x", "count": 2.5},
            {"action": "ban", "entity": "artist", "id": -7, "timestamp": "2026-11-27T12:00:00Z"},
        ],
    }
    async with client(echoing()) as web:
        answer = (await web.post("/v1/recommendations", json=asked)).json()
    assert answer == {
        "user_id": "zoe",
        "tracks": [
            {"id": "x", "title": None, "artist_name": None, "score": 2.5},
            {"id": -7, "title": None, "artist_name": None, "score": 1.0},
        ],
        "segment": 31,
        "description": "FR",
        "strategy": "popularity",
        "reasons": {"segments": []},
        "notes": ["k 9, exclude_seen True"],
        "bundle": "one",
    }


async def test_what_is_known_of_a_user_grows_and_is_used() -> None:
    async with client(echoing()) as web:
        unknown = await web.get("/v1/users/7/recommendations")
        first = {"user_id": 7, "country": "FR", "events": events(1, 2)}
        assert (await web.post("/v1/events", json=first)).json() == {"user_id": "7", "events": 2}
        more = {"user_id": "7", "age": 20, "events": events(3)}
        assert (await web.post("/v1/events", json=more)).json()["events"] == 3
        options = "k=4&strategy=semi&exclude_seen=false&explain=true"
        answer = (await web.get(f"/v1/users/7/recommendations?{options}")).json()
        carousels = (await web.get("/v1/users/7/carousels?n=5")).json()
    assert unknown.status_code == 404
    assert [track["id"] for track in answer["tracks"]] == [1, 2, 3]
    assert (answer["description"], answer["segment"], answer["user_id"]) == ("FR", 20, "7")
    assert answer["notes"] == ["k 4, exclude_seen False"]
    assert answer["reasons"] is not None
    playlists = carousels["carousels"]["country"]
    assert [playlist["id"] for playlist in playlists] == list(range(5))
    assert playlists[0]["title"] == "FR"


@pytest.mark.parametrize("user", ["a b", "a/b", "é", "..x", "100%", "?#"])
async def test_any_text_names_a_user(user: str) -> None:
    async with client(echoing()) as web:
        assert (await web.post("/v1/events", json={"user_id": user})).status_code == 200
        path = "".join(f"%{byte:02x}" for byte in user.encode())
        answer = await web.get(f"/v1/users/{path}/recommendations")
    assert answer.json()["user_id"] == user


async def test_carousels_and_search() -> None:
    async with client(echoing()) as web:
        carousels = (await web.post("/v1/carousels", json={"country": "SE"})).json()
        found = (await web.get("/v1/search?kind=artist&q=abba&limit=2")).json()
    assert len(carousels["carousels"]["country"]) == 12
    assert carousels["carousels"]["country"][0]["title"] == "SE"
    assert carousels["bundle"] == "one"
    named = [{"id": 0, "name": "artist abba"}, {"id": 1, "name": "artist abba"}]
    assert found == {"found": named}


async def test_a_thousand_users_are_answered_in_batches_in_order() -> None:
    model = Echo()
    users = [{"age": number % 100, "country": f"{number}"} for number in range(1000)]
    async with client(echoing(model, batch=64)) as web:
        answers = (await web.post("/v1/recommendations/batch", json={"users": users})).json()
    assert [each["description"] for each in answers["answers"]] == [str(n) for n in range(1000)]
    assert max(model.batches) <= 64


async def test_users_asked_for_at_once_never_get_each_others_answers() -> None:
    async with client(echoing(threads=3)) as web:

        async def live(number: int) -> None:
            user = f"user {number}"
            for day in range(3):
                said = {"user_id": user, "country": user, "events": events(f"{number} {day}")}
                assert (await web.post("/v1/events", json=said)).json()["events"] == day + 1
                kept = (await web.get(f"/v1/users/{user}/recommendations")).json()
                ids = [f"{number} {past}" for past in range(day + 1)]
                assert [track["id"] for track in kept["tracks"]] == ids
                assert (kept["user_id"], kept["description"]) == (user, user)
                told = (await web.post("/v1/recommendations", json=said)).json()
                assert [track["id"] for track in told["tracks"]] == ids[-1:]
                assert told["user_id"] == user

        await asyncio.gather(*(live(number) for number in range(60)))


async def test_a_score_that_json_has_no_number_for_is_null() -> None:
    class Infinite(Echo):
        def answer(self, questions: Any) -> Any:
            track = Track(1, None, None, float("-inf"))
            return [Answer((track,), 0, "", "semi") for _ in questions]

    async with client(echoing(Infinite())) as web:
        answer = await web.post("/v1/recommendations", json={})
    assert answer.json()["tracks"][0]["score"] is None


async def test_every_answer_has_the_headers_that_browsers_obey() -> None:
    async with client(echoing()) as web:
        answers = [
            await web.get("/healthz"),
            await web.get("/nowhere"),
            await web.post("/v1/recommendations", content="{"),
            await web.post("/v1/admin/reload"),
            await web.post("/v1/recommendations", json={"country": "broken"}),
        ]
    assert [answer.status_code for answer in answers] == [200, 404, 415, 403, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def numbers(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in re.findall(r"^(gpu_coldstart\S+) (\S+)$", text, re.MULTILINE)
    }


async def test_metrics_count_what_happened_under_names_of_ours() -> None:
    async with client(echoing(Echo("one"), Echo("two"), admin_keys=(ADMIN,))) as web:
        for path in ("/v1/users/secret/recommendations", "/secret", "/v1/search?q=secret"):
            await web.get(path)
        for _ in range(3):
            await web.post("/v1/recommendations", json={"country": "secret"})
        await web.post("/v1/admin/reload", headers=bearer(ADMIN))
        text = (await web.get("/metrics")).text
    found = numbers(text)
    asked = 'gpu_coldstart_requests_total{route="/v1/recommendations",status="200"}'
    assert found[asked] == 3
    assert found['gpu_coldstart_requests_total{route="other",status="404"}'] == 1
    user = "/v1/users/{user_id}/recommendations"
    assert found[f'gpu_coldstart_requests_total{{route="{user}",status="404"}}'] == 1
    assert found['gpu_coldstart_request_seconds_count{route="/v1/recommendations"}'] == 3
    assert found["gpu_coldstart_batch_size_sum"] == 3
    assert found["gpu_coldstart_queue_depth"] == 0
    assert found['gpu_coldstart_bundle{version="two"}'] == 1
    assert 'version="one"' not in text
    assert found['gpu_coldstart_reloads_total{outcome="swapped"}'] == 1
    assert "secret" not in text


async def test_readiness_ends_before_the_service_does() -> None:
    app = echoing()
    async with client(app) as web:
        assert (await web.get("/readyz")).json() == {"status": "ok"}
        app.state.service.draining = True
        ready, asked = await web.get("/readyz"), await web.post("/v1/recommendations", json={})
        assert (await web.get("/healthz")).status_code == 200
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
    assert (asked.status_code, asked.headers["connection"]) == (200, "close")


async def test_the_schema_names_every_route_and_its_bodies() -> None:
    async with client(echoing(max_events=77)) as web:
        schema: dict[str, Any] = (await web.get("/openapi.json")).json()
    assert set(schema["paths"]) == {
        "/v1/recommendations",
        "/v1/recommendations/batch",
        "/v1/carousels",
        "/v1/events",
        "/v1/users/{user_id}/recommendations",
        "/v1/users/{user_id}/carousels",
        "/v1/segments/{number}",
        "/v1/search",
        "/v1/model",
        "/v1/admin/reload",
        "/v1/admin/rollback",
        "/healthz",
        "/readyz",
    }
    assert schema["components"]["schemas"]["QuestionIn"]["properties"]["events"]["maxItems"] == 77
    told = re.findall(r'"#/components/schemas/(\w+)"', httpx.Response(200, json=schema).text)
    assert set(told) <= set(schema["components"]["schemas"])
