"""Bounds on connections that are slow, or send more than they should.

Uvicorn bounds the time between requests, and :mod:`gpu_coldstart.service.limits` that of a body.
Headers, and clients that do not read, are bounded here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["protocol"]

_HEADERS = 64 << 10
"""Bytes of a request before its body."""


def protocol(seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, but for connections that are slow or send too much.

    One is closed that takes longer than some seconds for its headers, and one that leaves its
    answer unread for as long; one that sends too many headers is told 400.
    """

    class Bounded(HttpToolsProtocol):
        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **options)
            self._timer: asyncio.TimerHandle | None = None
            self._size = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._within()

        def connection_lost(self, exc: Exception | None) -> None:
            self._done()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._size = 0
            self._within()
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(url)
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(name + value)
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._done()
            super().on_headers_complete()

        def pause_writing(self) -> None:
            self._within()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._done()
            super().resume_writing()

        def _count(self, part: bytes) -> None:
            self._size += len(part)
            if self._size > _HEADERS:
                raise ValueError("too many headers")  # the parser makes it 400

        def _within(self) -> None:
            """Close the connection unless :meth:`_done` is called in time."""
            self._done()
            self._timer = self.loop.call_later(seconds, self._abort)

        def _done(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _abort(self) -> None:
            self.transport.abort()

    return Bounded
