"""Requests made from the service's schema, right and wrong, get the answers that it promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.settings import Settings
from tests.service.helpers import ADMIN

TAKING = [
    ("POST", "/v1/recommendations"),
    ("POST", "/v1/recommendations/batch"),
    ("POST", "/v1/carousels"),
    ("POST", "/v1/events"),
    ("GET", "/v1/users/{user_id}/recommendations"),
    ("GET", "/v1/users/{user_id}/carousels"),
    ("GET", "/v1/segments/{number}"),
    ("GET", "/v1/search"),
]
PLAIN = [
    ("GET", "/v1/model"),
    ("POST", "/v1/admin/rollback"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]


@pytest.fixture(scope="module")
def schema(bundle: Path) -> schemathesis.BaseSchema:
    app = create_app(Settings(bundle, deadline_s=60, admin_keys=(ADMIN,)))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*each, mode) for each in TAKING for mode in schemathesis.GenerationMode]
    + [(*each, schemathesis.GenerationMode.POSITIVE) for each in PLAIN],
)
def test_answers_are_those_of_the_schema(
    schema: schemathesis.BaseSchema, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schema[path][method]
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate(checks=checks)

    ask()
