"""``gpu-coldstart serve``: a saved model as an HTTP service."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from gpu_coldstart.cli import console, options

__all__ = ["HELP", "SHORT", "serve"]

SHORT = "Serve a saved model over HTTP."
HELP = """\
Serve a saved model (a bundle, written by ColdStart.save) over HTTP.

SIGHUP reads the bundle again, SIGTERM ends the service after it has answered what was asked. Keys
may also come from the environment, GPU_COLDSTART_KEYS and GPU_COLDSTART_ADMIN_KEYS, and so may the
store's URL, GPU_COLDSTART_STORE.
"""


def serve(
    *,
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", parser=options.expanded, help="Directory of the model."),
    ],
    host: Annotated[
        str, options.text("--host", "NAME", "Address to listen on (default: 127.0.0.1).")
    ] = "127.0.0.1",
    port: Annotated[
        int, options.integer("--port", "N", "Port (default: 8000; 0 for any free one).")
    ] = 8000,
    store: Annotated[
        str | None,
        options.text(
            "--store", "URL", "Where users are kept: memory or redis:// (default: memory)."
        ),
    ] = None,
    ttl: Annotated[
        int, options.integer("--ttl", "S", "Seconds until a user is forgotten (default: 86400).")
    ] = 86_400,
    most_users: Annotated[
        int, options.integer("--most-users", "N", "Users kept in memory (default: 100000).")
    ] = 100_000,
    queue: Annotated[
        int, options.integer("--queue", "N", "Questions that may wait (default: 1024).")
    ] = 1024,
    batch: Annotated[
        int, options.integer("--batch", "N", "Questions answered at once (default: 64).")
    ] = 64,
    deadline: Annotated[
        int, options.integer("--deadline", "MS", "Milliseconds for an answer (default: 1000).")
    ] = 1000,
    threads: Annotated[
        int, options.integer("--threads", "N", "Threads that answer (default: 1).")
    ] = 1,
    max_events: Annotated[
        int, options.integer("--max-events", "N", "Events of a user (default: 10000).")
    ] = 10_000,
    max_body: Annotated[
        int, options.integer("--max-body", "BYTES", "Size of a request (default: 4194304).")
    ] = 4 << 20,
    body_timeout: Annotated[
        int, options.integer("--body-timeout", "S", "Seconds to send a request (default: 10).")
    ] = 10,
    keep_alive: Annotated[
        int, options.integer("--keep-alive", "S", "Seconds to hold idle connections (default: 75).")
    ] = 75,
    grace: Annotated[
        int,
        options.integer(
            "--grace", "S", "Seconds to go on after SIGTERM, for load balancers (default: 1)."
        ),
    ] = 1,
    keys: Annotated[
        Path | None, options.path("--keys", "FILE", "Keys of those who may ask, one a line.")
    ] = None,
    admin_keys: Annotated[
        Path | None,
        options.path("--admin-keys", "FILE", "Keys of those who may exchange the bundle."),
    ] = None,
    tls_cert: Annotated[
        Path | None, options.path("--tls-cert", "FILE", "Certificate for HTTPS, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, options.path("--tls-key", "FILE", "Its key, PEM.")] = None,
) -> None:
    """Load the model and answer until a signal comes."""
    from gpu_coldstart.service import server
    from gpu_coldstart.service.settings import ADMIN_KEYS, KEYS, STORE, Settings, read_keys

    settings = Settings(
        bundle=bundle,
        host=host,
        port=port,
        store=store or os.environ.get(STORE) or "memory",
        ttl_s=ttl,
        most_users=most_users,
        queue=queue,
        batch=batch,
        deadline_s=deadline / 1000,
        threads=threads,
        max_events=max_events,
        max_body=max_body,
        body_timeout_s=body_timeout,
        keep_alive_s=keep_alive,
        grace_s=grace,
        keys=read_keys(keys, KEYS),
        admin_keys=read_keys(admin_keys, ADMIN_KEYS),
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    _log_to_stderr()
    server.serve(settings, console.write)


def _log_to_stderr() -> None:
    """What the service logs, a line each; of the server only what is wrong."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("gpu_coldstart.service").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
