"""What every request passes before a route sees it: headers, keys, and the limits of its body."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpu_coldstart.service.metrics import Metrics
from gpu_coldstart.service.settings import Settings

__all__ = ["Guard", "RefusedError", "json_response"]

Answering = Callable[[bytes], Awaitable[Response]]

_log = logging.getLogger(__name__)

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_CLOSE = (b"connection", b"close")
_BODIES = ("POST", "PUT", "PATCH", "DELETE")
_UNREAD = (401, 403, 408, 413)
"""Statuses after which the connection ends, since what is left of a body would have to be read."""


def json_response(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """An answer in JSON; numbers that JSON does not have become null."""
    body = to_json(content, inf_nan_mode="null")
    return Response(body, status, headers, "application/json")


class RefusedError(Exception):
    """Why a request gets no answer.

    Attributes
    ----------
    status : int
        Of HTTP.
    field : str or None
        The field that is wrong.
    retry_s : int or None
        Seconds after which to try again.
    """

    def __init__(
        self, status: int, error: str, *, field: str | None = None, retry_s: int | None = None
    ):
        super().__init__(error)
        self.status, self.field, self.retry_s = status, field, retry_s

    def response(self) -> Response:
        """The answer that says so."""
        content = {"error": str(self)} | ({"field": self.field} if self.field else {})
        headers = {} if self.retry_s is None else {"retry-after": str(self.retry_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return json_response(content, self.status, headers)


class Guard:
    """Middleware around all routes.

    Adds the security headers; checks keys; reads the body, within its limits, before the route
    begins; counts what was answered; turns an error nobody expected into a 500 that says nothing.

    Parameters
    ----------
    routes : sequence of str
        Paths without parameters: what a request that never reached its route is counted under.
    admit : callable
        Called before a question is read; may raise :class:`RefusedError`.
    draining : callable
        Whether connections are to end, because the service will.
    direct : mapping of path to coroutine function
        What answers the bodies of POST requests that are too many for the detour over a route,
        which takes a third of the time of such a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        metrics: Metrics,
        routes: Sequence[str],
        admit: Callable[[], None],
        draining: Callable[[], bool],
        direct: Mapping[str, Answering],
    ):
        self._app, self._settings, self._metrics = app, settings, metrics
        self._routes, self._admit, self._draining = frozenset(routes), admit, draining
        self._direct = direct
        self._admins = [key.encode() for key in settings.admin_keys]
        self._keys = [key.encode() for key in settings.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].extend(_HEADERS)
                if self._draining():
                    message["headers"].append(_CLOSE)
            await send(message)

        try:
            self._check_key(scope)
            if "/recommendations" in scope["path"]:
                self._admit()
            app = self._app
            if scope["method"] in _BODIES:
                body = await self._body(scope, receive)
                receive = _replay(body)
                if scope["method"] == "POST" and scope["path"] in self._direct:
                    app = await self._direct[scope["path"]](body)
            await app(scope, receive, sent)
        except RefusedError as refusal:
            response = refusal.response()
            if refusal.status in _UNREAD:
                response.headers["connection"] = "close"
            await response(scope, receive, sent)
        except Exception:
            name = secrets.token_hex(8)
            _log.exception("request %s: %s %r", name, scope["method"], scope["path"])
            if status:  # half an answer is out; the server closes the connection
                raise
            content = {"error": "internal error", "request": name}
            await json_response(content, 500)(scope, receive, sent)
        finally:
            self._metrics.answered(self._route(scope), status, time.perf_counter() - begun)

    def _route(self, scope: Scope) -> str:
        """The template of the request's path."""
        route = getattr(scope.get("route"), "path_format", None)
        if route is None:
            route = scope["path"] if scope["path"] in self._routes else "other"
        return str(route)

    def _check_key(self, scope: Scope) -> None:
        path: str = scope["path"]
        if not path.startswith("/v1/"):
            return
        admin = path.startswith("/v1/admin/")
        if admin and not self._admins:
            raise RefusedError(403, "this service was started without admin keys")
        if not admin and not self._keys:
            return
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, given = (values[0] if values else b"").partition(b" ")
        given = given.strip()
        # All keys are compared, each in constant time, so that no delay tells which was close.
        is_admin = sum(hmac.compare_digest(given, key) for key in self._admins) > 0
        is_known = sum(hmac.compare_digest(given, key) for key in self._keys) > 0
        if kind.lower() != b"bearer" or not (is_admin or is_known):
            raise RefusedError(401, "give a key of this service, as 'Authorization: Bearer KEY'")
        if admin and not is_admin:
            raise RefusedError(403, "this key may ask, but not exchange bundles")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body of a request."""
        limit, content_type = self._settings.max_body, b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-length" and (not value.isdigit() or int(value[:20]) > limit):
                raise _too_large(limit)
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise RefusedError(400, "the client went away before its body ended")
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > limit:
                        raise _too_large(limit)
        except TimeoutError as error:
            seconds = self._settings.body_timeout_s
            raise RefusedError(
                408, f"the body did not arrive within {seconds:g} seconds"
            ) from error
        kind = content_type.partition(b";")[0].strip().lower()
        if size and kind != b"application/json":
            raise RefusedError(415, "send the body as Content-Type: application/json")
        return b"".join(parts)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {limit} bytes")


def _replay(body: bytes) -> Receive:
    """Give a body that was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
