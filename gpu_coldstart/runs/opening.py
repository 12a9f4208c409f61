"""What happens to an earlier run in the same directory: kept, partly reused, or replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.fingerprint import changed
from gpu_coldstart.runs.store import RunDirectory

__all__ = ["open_run"]

_SURROUNDINGS = {"engine": "--engine", "device": "GPU", "threads": "OMP_NUM_THREADS"}
_ELSEWHERE = "choose another place with --out DIR, or replace it with --overwrite"
_TOLD = 12  # settings in one sentence


def open_run(
    directory: RunDirectory, say: Callable[[str], None], *, resume: bool | None, overwrite: bool
) -> None:
    """Open a run directory that this process has locked.

    An earlier run of the same configuration on the same data is continued. One that differs is
    left alone unless ``resume`` asks to redo what depends on the difference, or ``overwrite`` to
    start from the beginning. What other versions of the software have made is kept, and said.
    ``resume`` is None for a command that has no such option.

    Raises
    ------
    UserError
        When the place holds something else, a run that differs, or a damaged one.
    """
    if resume and overwrite:
        raise UserError("--resume keeps the earlier run and --overwrite replaces it: give one")
    earlier = directory.look()
    if earlier is None or overwrite:
        if resume:
            say(f"{directory.path} holds no finished stage to resume: starting from the beginning")
        directory.replace(earlier)
        return
    place = directory.path
    if not earlier.keys and earlier.stages:
        raise UserError(f"{place} holds a run of an older version: {_ELSEWHERE}")
    _refuse_other_bits(place, earlier.identity, directory.identity)
    settings = _differing(earlier.identity, directory.identity, "config")
    if settings and not resume:
        or_else = ", or give --resume to make again only what depends on them"
        raise UserError(
            f"{place} holds a run with other settings: {_first(settings)}; {_ELSEWHERE}"
            f"{'' if resume is None else or_else}"
        )
    stale = directory.take_over(earlier)
    # A run of a version that noted none says nothing of them.
    noted = earlier.identity.get("versions")
    others = _differing(earlier.identity, directory.identity, "versions") if noted else []
    if others and directory.stages:
        say(
            f"this run was begun with other versions: {', '.join(others)}; what is done is kept: "
            "give --overwrite to make all of it again"
        )
        directory.identity = {**directory.identity, "versions": noted}
    for setting in settings:
        say(f"setting changed: {setting}")
    again = [name for name in stale if name in directory.keys and name != "config"]
    gone = [name for name in stale if name not in directory.keys]
    if again:
        say(f"made again: {', '.join(again)}")
    if gone:
        say(f"no longer asked for, and removed: {', '.join(gone)}")


def _refuse_other_bits(place: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to mix results of other data, another engine, GPU or number of threads."""
    data = changed(before.get("data", {}), now["data"])
    same_source = _part(before, "config").get("dataset") == now["config"]["dataset"]
    if data and same_source:
        raise UserError(
            f"{place} holds a run on other data: {'; '.join(data)}. Put back the data, or "
            f"{_ELSEWHERE}"
        )
    differing = [
        f"{option} (was {before.get(key)!r}, now {now.get(key)!r})"
        for key, option in _SURROUNDINGS.items()
        if before.get(key) != now.get(key)
    ]
    if differing:
        raise UserError(
            f"{place} holds a run whose bits would differ: {', '.join(differing)}; use the earlier "
            f"values, {_ELSEWHERE}"
        )


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], part: str) -> list[str]:
    """Each entry of a part of the identity that differs, with both values."""
    old, new = _part(before, part), _part(now, part)
    return [
        f"{key} (was {old.get(key)!r}, now {new.get(key)!r})"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def _first(settings: Sequence[str]) -> str:
    """As many as a sentence holds."""
    more = len(settings) - _TOLD
    return ", ".join(settings[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _part(identity: Mapping[str, Any], part: str) -> dict[str, Any]:
    values = identity.get(part, {})
    return dict(values) if isinstance(values, Mapping) else {}
