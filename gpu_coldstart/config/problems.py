"""What is wrong with a configuration, in sentences that name the key and the remedy."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gpu_coldstart.errors import nearest

__all__ = ["shown", "unknown", "worded"]

_LENGTH = 60  # characters of a value that a message quotes
_KINDS: dict[type | None, tuple[str, str]] = {
    bool: ("true or false", "values true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
}
"""One of them, and several."""


def shown(value: Any) -> str:
    """Any value as messages quote it, in the spelling of TOML, cut if it is long.

    Examples
    --------
    >>> shown("a" * 100)[-8:]
    'aaaaa...'
    >>> shown(True), shown((1, 2))
    ('true', '[1, 2]')
    """
    try:
        text = _toml(value)
    except (ValueError, RecursionError):  # an integer of too many digits, or nested too deeply
        return f"a very long {type(value).__name__}"
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)


def unknown(key: str, known: Mapping[str, Any]) -> str:
    """The message for an unknown key, with the keys spelled most like it."""
    within = [name for name in known if name.startswith(f"{key}.")]
    if key and within:
        return f"'{key}' is a section, not a setting: set one of its keys, such as {within[0]}"
    leaf = key.rsplit(".", 1)[-1]
    near = [name for name in known if leaf and name.rsplit(".", 1)[-1] == leaf]
    near.sort(key=lambda name: -difflib.SequenceMatcher(None, key, name).ratio())
    if key in _OPTIONS:  # what the option of that name sets comes first
        near = [_OPTIONS[key], *(name for name in near if name != _OPTIONS[key])]
    if not near:
        leaves: dict[str, list[str]] = {}
        for name in known:
            leaves.setdefault(name.rsplit(".", 1)[-1], []).append(name)
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.75)
        for match in difflib.get_close_matches(leaf, leaves, n=2, cutoff=0.75):
            near += [name for name in leaves[match] if name not in near]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else _NO_HINT
    return f"setting {shown(key)} is not known: {hint}"


_OPTIONS = {"k": "evaluation.k", "space": "spaces"}
"""Options of the command that set a key of another name."""

_NO_HINT = "see config.toml of any run for all keys"


def worded(error: ValidationError, defaults: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for each wrong key, by key."""
    sentences: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        parts = [str(part) for part in detail["loc"] if isinstance(part, str)]
        key = ".".join(parts[:2])
        if parts == ["world"]:  # which checks its own values
            sentence = str(detail["ctx"]["error"])
            sentences.setdefault(sentence.partition(" ")[0], sentence)
        else:
            sentences.setdefault(key, f"setting '{key}' {_sentence(detail, defaults.get(key))}")
    return sentences


def _sentence(detail: ErrorDetails, default: Any) -> str:
    """What is wrong with one value, after its key."""
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        hint = nearest(str(value), _choices(context["expected"]))
        return f"is {shown(value)}: {hint}"
    if isinstance(default, tuple) and kind not in _BOUNDS:
        kind_of_one = type(default[0]) if default else None
        _, several = _KINDS.get(kind_of_one, ("", "values"))
        return f"needs a list of {several} like {shown(default)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}: it must be a number that is neither infinite nor nan"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = context[bound]
        limit = int(limit) if limit == int(limit) else limit
        return f"is {shown(value)}: it must be {words} {limit}"
    needed, _ = _KINDS.get(type(default), (f"a {type(default).__name__}", ""))
    like = "" if isinstance(default, bool) or default == "" else f" like {shown(default)}"
    return f"is {shown(value)}, but {needed}{like} is needed"


_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def _choices(expected: str) -> list[str]:
    """The words of Pydantic's ``'a', 'b' or 'c'``."""
    return expected.replace("'", "").replace(" or ", ", ").split(", ")
