"""Data sets that others have published, as the tables of the data contract.

Who wants one downloads it; nothing here does. A reader takes the folder or archive as it came,
checks header and columns, and gives what writes each table, for
:func:`gpu_coldstart.datasets.files.write_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, TypeAlias, cast

__all__ = ["NAMES", "Writers", "reader"]

Writers: TypeAlias = Mapping[str, Callable[[IO[bytes]], None]]

_READERS = {
    "deezer-pisa": "pisa:sessions",
    "lastfm-1k": "lastfm:lastfm_1k",
    "movielens-100k": "movielens:movielens_100k",
    "movielens-1m": "movielens:movielens_1m",
}

NAMES = tuple(_READERS)


def reader(name: str) -> Callable[[Path], Writers]:
    """What reads a data set of :data:`NAMES`, from where it was unpacked or as it was downloaded.

    It raises :class:`gpu_coldstart.errors.UserError` where a file is missing, damaged or of another
    layout.
    """
    module, _, function = _READERS[name].partition(":")
    return cast(
        "Callable[[Path], Writers]", getattr(import_module(f"{__name__}.{module}"), function)
    )
