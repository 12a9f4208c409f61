"""Embedding spaces of warm users and tracks (3.1); further ones are added to ``FITTERS``."""

from __future__ import annotations

from collections.abc import Callable

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.spaces import tt_svd, ut_als
from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = ["FITTERS", "Progress", "Space", "unit_rows"]

FITTERS: dict[str, Callable[[Engine, Logs, Config, Progress], Space]] = {
    "tt-svd": tt_svd.fit,
    "ut-als": ut_als.fit,
}
"""How each space is learned from the logs."""
