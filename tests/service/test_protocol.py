"""A client that does not read its answer loses it."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
import uvicorn

from gpu_coldstart.service.protocol import protocol

_SIZE = 64 << 20
"""Bytes of an answer: more than the buffers of the kernel hold."""


@pytest.mark.anyio
@pytest.mark.parametrize("reads", [True, False])
async def test_an_answer_that_nobody_reads_is_dropped(reads: bool) -> None:
    sent = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send(
                {"type": "http.response.body", "body": bytes(_SIZE // 64), "more_body": True}
            )
        await send({"type": "http.response.body", "body": b""})
        sent.set()

    config = uvicorn.Config(app, http=protocol(0.3), lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        begun = time.monotonic()
        if reads:
            received = 0
            while received < _SIZE:
                received += len(await reader.read(1 << 20))
        await asyncio.wait_for(sent.wait(), 20)
        assert reads or time.monotonic() - begun > 0.25
        assert bool(server.server_state.connections) == reads
        writer.transport.abort()
        server.should_exit = True
        await serving
