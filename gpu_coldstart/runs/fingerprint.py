"""The content of input files, so that a run knows whether its data has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gpu_coldstart.data.files import files_below
from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import check_regular

__all__ = ["changed", "digest_of", "fingerprint"]

_AT_ONCE = 4
"""Files read in parallel; hashing releases the GIL."""


def fingerprint(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file, by name.

    Every byte is read, at about 1 GB/s a core: modification times cannot be trusted. A
    directory stands for its files (:func:`~gpu_coldstart.data.files.files_below`).

    Raises
    ------
    UserError
        When a file or folder cannot be read.
    """
    single: dict[str, Path] = {}
    for name, path in files.items():
        if path.is_dir():
            below = {inner.relative_to(path).as_posix(): inner for inner in files_below(path)}
            single |= {f"{name}/{inner}": place for inner, place in below.items()}
        else:
            single[name] = path
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(single, pool.map(_of, single.values()), strict=True))


def _of(path: Path) -> dict[str, Any]:
    try:
        check_regular(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"size": file.tell(), "sha256": digest}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def digest_of(files: Mapping[str, Mapping[str, Any]]) -> str:
    """A :func:`fingerprint` in 12 digits, whatever the files are called; empty without files.

    Examples
    --------
    >>> digest_of({"a": {"sha256": "1"}, "b": {"sha256": "2"}})
    '6b51d431df5d'
    >>> digest_of({})
    ''
    """
    hashes = sorted(str(each["sha256"]) for each in files.values())
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12] if hashes else ""


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, each file whose content is not what it was, or that came or went.

    Examples
    --------
    >>> changed({"users.parquet": {"size": 3, "sha256": "a"}}, {})
    ['users.parquet is gone']
    """
    sentences = []
    for name in sorted({*before, *now}):
        if name not in now:
            sentences.append(f"{name} is gone")
        elif name not in before:
            sentences.append(f"{name} is new")
        elif before[name] != now[name]:
            sizes = [side[name].get("size") for side in (before, now)]
            same = sizes[0] == sizes[1]
            how = "same size, other content" if same else f"{sizes[0]} bytes before, now {sizes[1]}"
            sentences.append(f"{name} has changed ({how})")
    return sentences
