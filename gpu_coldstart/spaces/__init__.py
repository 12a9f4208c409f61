"""Embedding spaces of warm users and tracks (3.1); the registry lists them."""

from gpu_coldstart.spaces.base import Progress, Space, silent, unit_rows

__all__ = ["Progress", "Space", "silent", "unit_rows"]
