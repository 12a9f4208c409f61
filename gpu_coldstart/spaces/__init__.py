"""Embedding spaces of warm users and tracks (3.1); the registry lists them."""

from gpu_coldstart.spaces.base import Progress, Space, unit_rows

__all__ = ["Progress", "Space", "unit_rows"]
