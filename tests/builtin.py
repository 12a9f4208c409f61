"""Names of the built-in parts, for tests that go through all of them."""

from __future__ import annotations

from gpu_coldstart import registry

SPACES = registry.SPACES.builtin
STRATEGIES = registry.STRATEGIES.builtin
