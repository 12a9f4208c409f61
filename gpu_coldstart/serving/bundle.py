"""A fitted model on disk: what serving needs and nothing else, listed with hashes, never pickled.

A bundle is a directory:

``bundle.json``
    Format and schema version, what the model was fitted on and how good it was
    (:mod:`gpu_coldstart.serving.about`), versions, and the SHA-256 of each file.
``MODEL_CARD.md``
    The same for people (:mod:`gpu_coldstart.serving.card`).
``config.toml``
    Every parameter.
``model.safetensors``
    Embeddings, relations, segments, popularity, demographic means, scaler, ids.
``network.safetensors``
    Weights of the network, batch normalisation folded into them.
``strategies/NAME.safetensors``
    The state of each strategy that has one.
``onnx/network.onnx``, ``onnx/NAME.onnx``
    The network, and those of strategies, for ONNX runtimes.
``segments.parquet``
    What is known of each segment.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs.artifacts import TEMPORARY, guarded, write_atomically

__all__ = ["INDEX", "PREVIOUS", "SCHEMA", "opened", "read", "write"]

SCHEMA = 4
"""Version of the format; bundles of other versions are refused."""

INDEX = "bundle.json"
"""The file that lists all others."""

PREVIOUS = ".previous"
"""What the name of a bundle ends in that was in service before."""

_FORMAT = "gpu_coldstart bundle"


def write(
    directory: Path, files: dict[str, bytes], about: dict[str, Any], *, keep: bool = False
) -> None:
    """Write a bundle, in place of the one that is there.

    It is written beside, as ``.NAME.part``, and changes places with the old one when it is whole:
    at once where the system can, so that there is a bundle at any moment; else in two moves, and
    killed between them it leaves the new one beside.

    Parameters
    ----------
    files : dict of name to content
    about : dict
        What ``bundle.json`` contains besides the hashes.
    keep : bool
        Keep the old bundle as ``NAME.previous``, in place of one that was kept before.

    Raises
    ------
    UserError
        When the place holds something else, or cannot be written.
    """
    try:
        directory = directory.resolve()
        if not _replaceable(directory):
            raise UserError(
                f"{directory} exists and is not a bundle: choose another directory, or empty it"
            )
        beside, old = (directory.with_name(f".{directory.name}{e}") for e in (TEMPORARY, ".old"))
        for left_by_a_kill in (beside, old):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        for name, content in files.items():
            write_atomically(beside / name, content)
        write_atomically(beside / INDEX, _index_of(files, about))
        if _swapped(beside, directory):
            beside.rename(old)
        else:
            if directory.exists():
                directory.rename(old)
            beside.rename(directory)
        if keep and old.exists():
            kept = directory.with_name(f"{directory.name}{PREVIOUS}")
            shutil.rmtree(kept, ignore_errors=True)
            old.rename(kept)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror}): choose another place"
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def _swapped(one: Path, other: Path) -> bool:
    """Let two directories change places at once; False where there are not two, or it cannot be."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _replaceable(directory: Path) -> bool:
    """Whether nothing would be lost but a bundle."""
    if not directory.exists():
        return True
    return directory.is_dir() and ((directory / INDEX).is_file() or not any(directory.iterdir()))


def _index_of(files: dict[str, bytes], about: dict[str, Any]) -> bytes:
    """The index that vouches for the files."""
    index = {
        "format": _FORMAT,
        "schema": SCHEMA,
        **about,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return (json.dumps(index, indent=1, sort_keys=True) + "\n").encode()


def read(directory: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The index and the files of a bundle, with every hash verified.

    Raises
    ------
    UserError
        When there is no bundle, it is of another version, or a file is damaged or missing.
    """
    index = _index(directory)
    files = {}
    for name, digest in index["files"].items():
        path = directory / name
        try:
            content = read_bytes(path)
        except OSError as error:
            raise UserError(
                f"{path} is missing from the bundle ({error.strerror}): copy the bundle again"
            ) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserError(
                f"{path} is damaged: its SHA-256 is not the one in {INDEX}; copy the bundle again"
            )
        files[name] = content
    return index, files


@contextmanager
def opened(directory: Path) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """:func:`read`, and whatever fails within is the bundle's fault.

    The index vouches for files, not for their fitting together: recommending to one user tells.

    Raises
    ------
    UserError
        As :func:`read`, or when the files do not fit together.
    """
    index, files = read(directory)
    suspects = " or ".join(str(directory / name) for name in (INDEX, *files))
    with guarded(suspects, "save the bundle again"):
        yield index, files


def _index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX
    try:
        content = read_bytes(path)
    except OSError as error:
        raise UserError(
            f"{directory} holds no bundle ({INDEX}: {error.strerror}): name a directory that "
            "ColdStart.save or gpu-coldstart export wrote"
        ) from error
    try:
        index = json.loads(content)
        names_format = index["format"] == _FORMAT
        schema, files = index["schema"], index["files"]
        sound = isinstance(schema, int) and all(
            isinstance(name, str) and isinstance(digest, str) and _inside(name)
            for name, digest in files.items()
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        names_format = sound = False
        schema = None
    if not names_format or not sound:
        raise UserError(f"{path} is damaged or not of a bundle: save or copy the bundle again")
    if schema != SCHEMA:
        raise UserError(
            f"{directory} is a bundle of schema {schema}, and this version reads schema {SCHEMA}: "
            "save the model again with this version"
        )
    return dict(index)


def _inside(name: str) -> bool:
    """Whether a file name stays within the bundle."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts
