"""Names of the built-in parts, for tests that go through all of them."""

from __future__ import annotations

from gpu_coldstart import registry
from gpu_coldstart.config.parameters import Config

SPACES = registry.BOTH
EVERY_STRATEGY = registry.STRATEGIES.builtin
STRATEGIES = Config().strategies.names
"""Those of a run unless others are asked for."""
