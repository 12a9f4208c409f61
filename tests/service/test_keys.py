"""Who may ask and who may exchange the bundle; where keys come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.settings import KEYS, Settings, read_keys
from tests.service.helpers import ADMIN, KEY, NOWHERE, Echo, bearer, client, echoing

ASK = "/v1/recommendations"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "ask", "reload"),
    [
        (None, 401, 401),
        (f"Bearer {KEY}", 200, 403),
        (f"bearer  {KEY}", 200, 403),
        (f"Bearer {ADMIN}", 200, 200),
        (f"Bearer {KEY[:-1]}", 401, 401),
        (f"Bearer {KEY}x", 401, 401),
        (f"Basic {KEY}", 401, 401),
        (KEY, 401, 401),
        ("Bearer ", 401, 401),
        ("Bearer é", 401, 401),
    ],
)
async def test_keys_open_what_they_should(given: str | None, ask: int, reload: int) -> None:
    headers = {} if given is None else {b"authorization": given.encode("latin-1")}
    async with client(echoing(keys=("other" * 5, KEY), admin_keys=(ADMIN,))) as web:
        asked = await web.post(ASK, json={}, headers=headers)
        assert asked.status_code == ask
        assert (await web.post("/v1/admin/reload", headers=headers)).status_code == reload
        for open_to_all in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await web.get(open_to_all)).status_code == 200
    if ask == 401:
        assert asked.headers["www-authenticate"] == "Bearer"
        assert KEY not in asked.text


@pytest.mark.anyio
async def test_without_keys_all_may_ask_and_nobody_may_exchange() -> None:
    async with client(echoing()) as web:
        assert (await web.post(ASK, json={})).status_code == 200
        for what in ("reload", "rollback"):
            answer = await web.post(f"/v1/admin/{what}", headers=bearer(ADMIN))
            assert (answer.status_code, "without admin keys" in answer.text) == (403, True)


@pytest.mark.anyio
async def test_a_body_is_not_read_of_one_who_has_no_key() -> None:
    async with client(echoing(keys=(KEY,), max_body=1024)) as web:
        answer = await web.post(ASK, content=b"x" * 5000)
    assert (answer.status_code, answer.headers["connection"]) == (401, "close")


@pytest.mark.anyio
async def test_reload_and_rollback() -> None:
    damaged = UserError("the bundle is damaged")
    models = (Echo("one"), Echo("two"), Echo("two"), damaged)
    async with client(echoing(*models, admin_keys=(ADMIN,))) as web:

        async def told(what: str) -> object:
            return (await web.post(f"/v1/admin/{what}", headers=bearer(ADMIN))).json()

        nothing = await web.post("/v1/admin/rollback", headers=bearer(ADMIN))
        assert nothing.status_code == 409
        two = {"version": "two", "previous": "one", "changed": True}
        assert await told("reload") == two
        assert await told("reload") == two | {"changed": False}
        assert (await web.post(ASK, json={})).json()["bundle"] == "two"
        assert await told("reload") == {"error": "the bundle is damaged"}
        about = (await web.get("/v1/model")).json()
        assert (about["version"], about["problem"]) == ("two", "the bundle is damaged")
        assert await told("rollback") == {"version": "one", "previous": "two", "changed": True}
        assert (await web.post(ASK, json={})).json()["bundle"] == "one"
        text = (await web.get("/metrics")).text
    for outcome in ("swapped", "unchanged", "refused", "rolled_back"):
        assert f'gpu_coldstart_reloads_total{{outcome="{outcome}"}} 1.0' in text


def test_keys_come_from_a_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"\n{KEY}\n{ADMIN}\n\n{KEY}\n")
    monkeypatch.setenv(KEYS, f"{ADMIN} {'e' * 16}")
    assert read_keys(file, KEYS) == (ADMIN, "e" * 16, KEY)
    assert read_keys(None, "NO_SUCH_VARIABLE") == ()
    settings = Settings(NOWHERE, keys=(KEY,), admin_keys=(ADMIN,))
    assert KEY not in repr(settings)
    assert ADMIN not in repr(settings)


@pytest.mark.parametrize("text", ["", "\n", "short", "é" * 20, "k" * 15])
def test_keys_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(UserError, match=str(file)):
        read_keys(file, KEYS)
