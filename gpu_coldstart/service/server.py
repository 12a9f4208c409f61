"""The process that serves: one port, and what signals do to it.

SIGTERM and SIGINT end it: what was asked is answered first, and the exit status is 0; a second one
ends it at once. SIGHUP reads the bundle again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.bundles import Bundles
from gpu_coldstart.service.core import Service
from gpu_coldstart.service.protocol import protocol
from gpu_coldstart.service.settings import Settings

__all__ = ["serve"]

_CONNECTIONS = 4096
"""More at once are refused by the server itself."""

_SWITCH_S = 0.0001
"""Seconds that a thread keeps the interpreter while another one waits for it.

A batch lets go of it at every call of NumPy, and the event loop at every answer; under load, each
would have to wait this long every time.
"""


def serve(settings: Settings, say: Callable[[str], object]) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    say : callable
        Told in one line, when requests are answered, where and by which bundle.

    Raises
    ------
    UserError
        For a bundle, a store, an address or a certificate that cannot be used.
    """
    bundles = Bundles(settings.bundle)
    app = create_app(settings, bundles)
    service: Service = app.state.service
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls_cert is None else "https"
    where = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    version = bundles.current.version
    config = uvicorn.Config(
        app,
        lifespan="on",
        http=protocol(settings.body_timeout_s),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=int(settings.deadline_s + settings.body_timeout_s) + 1,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except OSError as error:
        raise UserError(
            f"{settings.tls_cert} and {settings.tls_key} are no certificate and its key in PEM: "
            f"{error.strerror or error}"
        ) from error
    server = _Server(config, lambda: say(f"serving {settings.bundle} ({version}) on {where}"))
    sys.setswitchinterval(_SWITCH_S)
    with listener, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(server, service, listener))


async def _run(server: _Server, service: Service, listener: socket.socket) -> None:
    """Serve, with signals as the module says."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def end(grace_s: float) -> None:
        if service.draining:
            os._exit(1)
        service.draining = True
        loop.call_later(grace_s, server.end)

    def reload() -> None:
        task = loop.create_task(_reload(service))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    with _handling(
        loop,
        {
            signal.SIGTERM: lambda: end(service.settings.grace_s),
            signal.SIGINT: lambda: end(0.0),
            signal.SIGHUP: reload,
        },
    ):
        await server.serve(sockets=[listener])


async def _reload(service: Service) -> None:
    with suppress(UserError):  # the log has it
        await service.reload()


@contextmanager
def _handling(
    loop: asyncio.AbstractEventLoop, handlers: dict[signal.Signals, Callable[[], None]]
) -> Iterator[None]:
    """Handle signals in the event loop, and leave them afterwards as they were."""
    former: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number, old in former.items():
            loop.remove_signal_handler(number)
            signal.signal(number, old)


class _Server(uvicorn.Server):
    """Uvicorn, but for signals, and what it says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def end(self) -> None:
        """Listen no more, let those who were heard have their answers, and return."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :func:`_run`: uvicorn's end is that of a process that was killed."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    UserError
        When the address is none of this machine's, or taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on {host} port {port}: {reason}; choose another --host or --port"
        ) from error
