"""What a service is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import read_bytes

__all__ = ["ADMIN_KEYS", "KEYS", "STORE", "Settings", "read_keys"]

KEYS = "GPU_COLDSTART_KEYS"
ADMIN_KEYS = "GPU_COLDSTART_ADMIN_KEYS"
"""Environment variables with keys, separated by white space."""

STORE = "GPU_COLDSTART_STORE"
"""Environment variable with the URL of the store."""

_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Settings:
    """The options of a service.

    Attributes
    ----------
    bundle : Path
        Directory of the model; a reload reads the same path again.
    host, port : str, int
        Where to listen; port 0 is any free one.
    store : str
        ``"memory"``, or the URL of a Redis server.
    ttl_s : float
        Seconds after which a user of whom nothing new is heard is forgotten.
    most_users : int
        How many users the memory store holds.
    queue : int
        Questions that may wait; more are refused.
    batch : int
        Questions that are answered at once, at most.
    deadline_s : float
        Seconds that a question may take, waiting included.
    threads : int
        Threads that answer questions.
    max_events : int
        Events of one user, in a request and in the store.
    max_body : int
        Bytes of a request's body.
    body_timeout_s : float
        Seconds that a client may take to send a body.
    keep_alive_s : int
        Seconds that a connection without requests is held.
    grace_s : float
        Seconds between SIGTERM, when ``/readyz`` turns 503, and the end of listening.
    keys, admin_keys : tuple of str
        Who may ask, and who may also reload; without ``keys``, everyone may ask.
    tls_cert, tls_key : Path or None
        PEM files, for HTTPS.

    Raises
    ------
    UserError
        For a number out of range, a host that names no interface, or half of a TLS pair.
    """

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8000
    store: str = field(default="memory", repr=False)  # its URL may have a password
    ttl_s: float = 24 * 3600.0
    most_users: int = 100_000
    queue: int = 1024
    batch: int = 64
    deadline_s: float = 1.0
    threads: int = 1
    max_events: int = 10_000
    max_body: int = 4 << 20
    body_timeout_s: float = 10.0
    keep_alive_s: int = 75
    grace_s: float = 1.0
    keys: tuple[str, ...] = field(default=(), repr=False)
    admin_keys: tuple[str, ...] = field(default=(), repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            low, high = _BOUNDS.get(each.name, (None, None))
            value = getattr(self, each.name)
            if low is not None and high is not None and not low <= value <= high:
                raise UserError(
                    f"{each.name.removesuffix('_s').replace('_', '-')} is {value:g}: give {low:g} "
                    f"to {high:g}"
                )
        if self.batch > self.queue:
            raise UserError(f"batch is {self.batch}, more than the queue of {self.queue} can hold")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UserError("TLS needs both a certificate and its key: give tls-cert and tls-key")


_BOUNDS: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "ttl_s": (1, 10 * 365 * 24 * 3600),
    "most_users": (1, 2**31),
    "queue": (1, 1_000_000),
    "batch": (1, 10_000),
    "deadline_s": (0.001, 3600),
    "threads": (1, 256),
    "max_events": (1, 100_000),
    "max_body": (1024, 1 << 30),
    "body_timeout_s": (0.1, 3600),
    "keep_alive_s": (1, 3600),
    "grace_s": (0, 3600),
}


def read_keys(file: Path | None, variable: str) -> tuple[str, ...]:
    """Keys from a file, one a line, and from an environment variable.

    Raises
    ------
    UserError
        For a key that is short or not ASCII, or a file that names none.
    OSError
        When the file cannot be read.
    """
    where = f"environment variable {variable}"
    keys = os.environ.get(variable, "").split()
    if file is not None:
        where = str(file)
        found = read_bytes(file).decode("utf-8", "replace").split()
        if not found:
            raise UserError(f"{file} holds no key: write one a line")
        keys += found
    for key in keys:
        if len(key) < _SHORTEST_KEY or not (key.isascii() and key.isprintable()):
            raise UserError(
                f"{where} has a key that is shorter than {_SHORTEST_KEY} characters or not ASCII: "
                "make one with 'openssl rand -hex 32'"
            )
    return tuple(dict.fromkeys(keys))
