"""What the service says of itself in OpenAPI: bodies, answers and problems of its routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gpu_coldstart.service import schemas
from gpu_coldstart.service.schemas import EventsIn, QuestionIn, QuestionsIn
from gpu_coldstart.service.settings import Settings

__all__ = ["App", "documented"]

_BODIES = (QuestionIn, QuestionsIn, EventsIn)
_PROBLEMS = {
    400: "The body did not arrive.",
    401: "No key of this service.",
    403: "A key that may not do this.",
    404: "Not known.",
    408: "The body took too long.",
    409: "There is nothing to do this with.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A field is wrong.",
    500: "A mistake of the service, told in its log.",
    503: "Overloaded, or about to end; with Retry-After.",
    504: "Not answered in time.",
}
_ASKING = (400, 401, 408, 413, 415, 422, 500, 503, 504)


class App(FastAPI):
    """FastAPI, but for request bodies, which the routes read themselves."""

    def __init__(self, settings: Settings, **options: Any):
        super().__init__(**options)
        self._settings = settings

    def openapi(self) -> dict[str, Any]:
        """The schema, with the bodies that FastAPI does not see."""
        schema = super().openapi()
        _, bodies = models_json_schema(
            [(model, "validation") for model in _BODIES],
            ref_template="#/components/schemas/{model}",
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(bodies["$defs"])
        for name in ("QuestionIn", "EventsIn"):
            events = components["schemas"][name]["properties"]["events"]
            events["maxItems"] = self._settings.max_events
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        if self._settings.keys:
            schema["security"] = [{"key": []}]
        return schema


def documented(
    model: type[BaseModel],
    body: type[BaseModel] | None = None,
    problems: Sequence[int] = (),
) -> dict[str, Any]:
    """What OpenAPI says of a route: its answer, its body, and the problems it tells of."""
    statuses = sorted({*problems, *(_ASKING if body else (401, 422, 500, 503, 504))})
    responses: dict[int, Any] = {
        status: {"model": schemas.ProblemOut, "description": _PROBLEMS[status]}
        for status in statuses
    }
    options: dict[str, Any] = {"responses": {200: {"model": model}, **responses}}
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body.__name__}"}
        content = {"application/json": {"schema": schema}}
        options["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    if 403 in statuses:
        options["openapi_extra"] = {"security": [{"key": []}]}
    return options
