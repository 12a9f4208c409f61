"""The routes."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import resources
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from gpu_coldstart import __version__
from gpu_coldstart.errors import UserError
from gpu_coldstart.service import schemas
from gpu_coldstart.service.bundles import Answered, Bundles
from gpu_coldstart.service.core import Service
from gpu_coldstart.service.limits import Guard, RefusedError, json_response
from gpu_coldstart.service.openapi import App, documented
from gpu_coldstart.service.schemas import EventsIn, QuestionIn, QuestionsIn
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.service.stores import Known, Store, StoreError, StoreFull, open_store
from gpu_coldstart.serving.recommender import Question

__all__ = ["create_app"]

M = TypeVar("M", bound=BaseModel)


def create_app(
    settings: Settings, bundles: Bundles | None = None, store: Store | None = None
) -> FastAPI:
    """The service as an ASGI application; ``app.state.service`` is its :class:`Service`.

    Parameters
    ----------
    bundles, store : optional
        Made from the settings where they are not given.

    Raises
    ------
    UserError
        When the bundle or the store cannot be used.
    """
    service = Service(
        settings,
        bundles or Bundles(settings.bundle),
        store
        or open_store(
            settings.store,
            ttl_s=settings.ttl_s,
            most_users=settings.most_users,
            most_events=settings.max_events,
        ),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.open()
        yield
        await service.close()

    app = App(
        settings,
        title="gpu_coldstart",
        version=__version__,
        description="Recommends tracks to users on the day they sign up.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _refuse_http, RequestValidationError: _refuse_invalid},
    )
    app.state.service = service
    for router in (_asking(service), _browsing(service), _running(service)):
        app.include_router(router)
    _add_page(app)
    app.add_middleware(
        Guard,
        settings=settings,
        metrics=service.metrics,
        routes=[*app.openapi()["paths"], "/metrics"],
        admit=service.admit,
        draining=lambda: service.draining,
        direct={"/v1/recommendations": lambda body: _recommend(service, body)},
    )
    return app


def _asking(service: Service) -> APIRouter:
    """Questions that carry all there is to know."""
    router = APIRouter()
    most = service.settings.max_events

    @router.post("/v1/recommendations", **documented(schemas.AnswerOut, QuestionIn))
    async def recommend(request: Request) -> Response:
        """Recommend tracks to a user."""
        return await _recommend(service, await request.body())

    @router.post("/v1/recommendations/batch", **documented(schemas.AnswersOut, QuestionsIn))
    async def recommend_many(request: Request) -> Response:
        """Recommend tracks to many users."""
        users = _read(QuestionsIn, await request.body(), most).users
        answers = await service.recommend([user.question() for user in users], "users[{}]")
        pairs = zip(users, answers, strict=True)
        return json_response({"answers": [_answer(user.user_id, each) for user, each in pairs]})

    @router.post("/v1/carousels", **documented(schemas.CarouselsOut, QuestionIn))
    async def carousels(request: Request) -> Response:
        """Recommend playlists to a user, 12 a carousel."""
        question = _read(QuestionIn, await request.body(), most).question()
        return await _carousels(service, question, 12)

    @router.post("/v1/events", **documented(schemas.EventsOut, EventsIn))
    async def add(request: Request) -> Response:
        """Keep what a user did; a country or an age that was not known is kept as well."""
        heard = _read(EventsIn, await request.body(), most)
        user = str(heard.user_id)
        try:
            known = await service.store.add(user, Known(heard.country, heard.age, heard.said()))
        except StoreFull as error:
            raise RefusedError(422, str(error), field="events") from error
        except StoreError as error:
            raise RefusedError(503, str(error), retry_s=1) from error
        return json_response({"user_id": user, "events": len(known.events)})

    return router


def _browsing(service: Service) -> APIRouter:
    """Questions about users in the store, and about the model."""
    router = APIRouter()

    @router.get(
        "/v1/users/{user_id:path}/recommendations", **documented(schemas.AnswerOut, problems=[404])
    )
    async def recommend(
        user_id: str,
        k: Annotated[int, Query(ge=1, le=schemas.LONGEST_LIST)] = 50,
        strategy: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
        *,
        exclude_seen: bool | None = None,
        explain: bool = False,
    ) -> Response:
        """Recommend tracks to a user of whom the store knows."""
        question = replace(
            await _known(service, user_id),
            k=k,
            strategy=strategy,
            exclude_seen=exclude_seen,
            explain=explain,
        )
        (answered,) = await service.recommend([question])
        return json_response(_answer(user_id, answered))

    @router.get(
        "/v1/users/{user_id:path}/carousels", **documented(schemas.CarouselsOut, problems=[404])
    )
    async def carousels(user_id: str, n: Annotated[int, Query(ge=1, le=100)] = 12) -> Response:
        """Recommend playlists to a user of whom the store knows."""
        return await _carousels(service, await _known(service, user_id), n)

    @router.get("/v1/segments/{number}", **documented(schemas.SegmentOut, problems=[404]))
    async def segment(number: int) -> Response:
        """Describe a segment of listeners."""
        try:
            row, _ = await service.call(lambda model: model.segment(number))
        except LookupError as error:
            raise RefusedError(404, "the model has no segment of that number") from error
        return json_response(_segment(row))

    @router.get("/v1/search", **documented(schemas.FoundOut))
    async def search(
        kind: Literal["artist", "track"],
        q: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Find tracks or artists by name."""
        found, _ = await service.call(lambda model: model.search(kind, q, limit))
        return json_response({"found": [{"id": each.id, "name": each.name} for each in found]})

    @router.get("/v1/model", **documented(schemas.ModelOut))
    async def model() -> Response:
        """Tell which model answers."""
        current, previous = service.bundles.current, service.bundles.previous
        return json_response(
            {
                "version": current.version,
                "previous": previous and previous.version,
                "strategies": current.strategies,
                "default": current.strategies[0],
                "n_tracks": current.n_tracks,
                "problem": service.bundles.problem,
                "about": current.about,
            }
        )

    return router


def _running(service: Service) -> APIRouter:
    """What those who run the service ask."""
    router = APIRouter()

    def exchanged(*, changed: bool) -> Response:
        current, previous = service.bundles.current, service.bundles.previous
        content = {"version": current.version, "previous": previous and previous.version}
        return json_response(content | {"changed": changed})

    @router.post(
        "/v1/admin/reload", **documented(schemas.ReloadOut, problems=[400, 401, 403, 408, 409])
    )
    async def reload() -> Response:
        """Read the bundle's directory again; takes no body."""
        try:
            changed = await service.reload()
        except UserError as error:
            raise RefusedError(409, str(error)) from error
        return exchanged(changed=changed)

    @router.post(
        "/v1/admin/rollback", **documented(schemas.ReloadOut, problems=[400, 401, 403, 408, 409])
    )
    async def rollback() -> Response:
        """Go back to the bundle before this one; takes no body."""
        try:
            await asyncio.to_thread(service.rollback)
        except UserError as error:
            raise RefusedError(409, str(error)) from error
        return exchanged(changed=True)

    @router.get("/healthz", **documented(schemas.StatusOut))
    async def healthz() -> Response:
        """Tell that the process is up."""
        return json_response({"status": "ok"})

    @router.get("/readyz", **documented(schemas.StatusOut))
    async def readyz() -> Response:
        """Tell whether requests may be sent here."""
        await service.ready()
        return json_response({"status": "ok"})

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _read(model: type[M], body: bytes, most_events: int) -> M:
    """A request's body, checked in one pass."""
    try:
        read = model.model_validate_json(body)
    except ValidationError as error:
        field, sentence = schemas.first_problem(error)
        raise RefusedError(422, sentence, field=field) from error
    if isinstance(read, QuestionsIn):
        lists = {f"users[{number}].events": user.events for number, user in enumerate(read.users)}
    else:
        lists = {"events": getattr(read, "events", [])}
    for field, events in lists.items():
        if len(events) > most_events:
            sentence = f"{field}: {len(events)} events, more than the {most_events} allowed"
            raise RefusedError(422, sentence, field=field)
    return read


async def _recommend(service: Service, body: bytes) -> Response:
    """A list for the user that a body describes."""
    asked = _read(QuestionIn, body, service.settings.max_events)
    (answered,) = await service.recommend([asked.question()])
    return json_response(_answer(asked.user_id, answered))


async def _known(service: Service, user: str) -> Question:
    """What the store knows of a user, as the start of a question."""
    try:
        known = await service.store.get(user)
    except StoreError as error:
        raise RefusedError(503, str(error), retry_s=1) from error
    if known is None:
        raise RefusedError(404, "nothing is known of this user")
    return Question(known.country, known.age, known.events)


async def _carousels(service: Service, question: Question, n: int) -> Response:
    arms, version = await service.call(lambda model: model.carousels(question))
    cut = {arm: playlists[:n] for arm, playlists in arms.items()}
    return json_response({"carousels": cut, "bundle": version})


def _answer(user: str | int | None, answered: Answered) -> dict[str, Any]:
    """An answer in the names of HTTP."""
    answer = answered.answer
    return {
        "user_id": user,
        "tracks": [track._asdict() for track in answer.tracks],
        "segment": answer.segment,
        "description": answer.description,
        "strategy": answer.strategy,
        "reasons": answer.reasons,
        "notes": answer.notes,
        "bundle": answered.bundle,
    }


def _segment(row: dict[str, Any]) -> dict[str, Any]:
    """A segment in the names of HTTP: its tracks as rows."""
    names = {"track_id": "id", "title": "title", "artist_name": "artist_name"}
    n = len(row["track_id"])
    columns = {new: row.get(old) or [None] * n for old, new in names.items()}
    columns["probability"] = row["probability"]
    tracks = [
        dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
    ]
    return {name: value for name, value in row.items() if name not in (*names, "probability")} | {
        "tracks": tracks
    }


async def _refuse_http(request: Request, error: Exception) -> Response:
    """A path or a method that is none."""
    assert isinstance(error, HTTPException)
    sentence = {404: "nothing is at this path", 405: "this path takes other methods"}
    content = {"error": sentence.get(error.status_code, str(error.detail))}
    return json_response(content, error.status_code, dict(error.headers or {}))


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    """A parameter of the path or the query that is wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field, sentence = schemas.told({**first, "loc": first["loc"][1:]})
    return json_response({"error": sentence, "field": field}, 422)


def _add_page(app: FastAPI) -> None:
    """The files of the page, read once: no request reaches the disk."""
    page = resources.files("gpu_coldstart.service").joinpath("page")
    for file in page.iterdir():
        kind = mimetypes.guess_type(file.name)[0]
        if kind is None:
            continue

        async def show(content: bytes = file.read_bytes(), kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        path = "/" if file.name == "index.html" else f"/{file.name}"
        app.add_api_route(path, show, include_in_schema=False)
