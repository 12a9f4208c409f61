"""Frames of any library, as Arrow tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

__all__ = ["to_arrow"]


def to_arrow(name: str, frame: Any) -> pa.Table:
    """A frame as an Arrow table."""
    del name
    return pa.table(frame)
