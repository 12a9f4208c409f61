"""Checks the calls of a rehearsal against the real libraries' signatures. Needs no GPU.

    python tests/rehearsal/check_cuda_api.py CALLS.json

runs in an environment of its own that has CuPy, cuDF, cuML, RMM, faiss-gpu and PyTorch. It calls
nothing: it looks up each function by name and binds the arguments to its signature.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_IMPORTED_FIRST = {"faiss.": "faiss.contrib.torch_utils"}
"""What changes the functions of a library where the engine uses it."""

_UFUNC_KEYWORDS = {"out", "dtype", "casting", "where"}

_DOCUMENTED = re.compile(r"^(?:\w+\.)*\w+\((?P<parameters>.*)\)(?:\s*->.*)?$")
"""First line of the docstring of a compiled function."""


def main() -> int:
    """Check every call and say what does not fit; the exit status."""
    failures = 0
    calls = json.loads(Path(sys.argv[1]).read_text())
    for name, positional, keywords in calls:
        problem = check(name, positional, keywords)
        if problem is not None:
            failures += 1
            said = ", ".join(["_"] * positional + [f"{key}=_" for key in keywords])
            print(f"{name}({said}): {problem}")  # noqa: T201
    print(f"{len(calls) - failures} passed, {failures} failed")  # noqa: T201
    return int(failures > 0 or not calls)


def check(name: str, positional: int, keywords: list[str]) -> str | None:
    """What is wrong with a call; None if it fits, or if only existence can be told."""
    try:
        found, bound = look_up(name)
    except (AttributeError, ImportError) as error:
        return f"not there ({error})"
    if type(found).__name__ == "ufunc":
        return _check_ufunc(found, positional, keywords)
    if not callable(found):
        return "cannot be called"
    signature = signature_of(found)
    if signature is None:
        return None
    try:
        signature.bind(*[None] * (positional + bound), **dict.fromkeys(keywords))
    except TypeError as error:
        return f"{error}; it is {signature}"
    return None


def look_up(name: str) -> tuple[Any, int]:
    """The object of a dotted name, and 1 where a method wants ``self`` beforehand."""
    for start, module in _IMPORTED_FIRST.items():
        if name.startswith(start):
            importlib.import_module(module)
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    parent: Any = None
    for place, part in enumerate(parts[1:], 1):
        parent = found
        try:
            found = getattr(found, part)
        except AttributeError:
            if not inspect.ismodule(parent):
                raise
            found = importlib.import_module(".".join(parts[: place + 1]))
    unbound = inspect.isclass(parent) and not inspect.ismethod(found)
    static = inspect.isclass(parent) and isinstance(
        inspect.getattr_static(parent, parts[-1]), staticmethod
    )
    return found, int(unbound and not static)


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, from the docstring where the function is compiled; None if nobody tells."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        pass
    first = (function.__doc__ or "").strip().split("\n")[0]
    match = _DOCUMENTED.match(first)
    if match is None:
        return None
    try:
        return inspect.signature(eval(f"lambda {_without_types(match['parameters'])}: None"))
    except (SyntaxError, NameError):
        return None


def _without_types(parameters: str) -> str:
    """C's types taken away, and defaults that only the library could tell."""
    plain = []
    for parameter in parameters.split(","):
        name, equals, _ = parameter.partition("=")
        name = name.strip()
        if name not in {"*", "/"} and not name.startswith("*"):
            name = name.partition(":")[0].split()[-1] if name else name
        plain.append(f"{name}=None" if equals else name)
    return ", ".join(plain)


def _check_ufunc(ufunc: Any, positional: int, keywords: list[str]) -> str | None:
    if not ufunc.nin <= positional <= ufunc.nin + ufunc.nout:
        return f"takes {ufunc.nin} arguments"
    unknown = set(keywords) - _UFUNC_KEYWORDS
    return f"unknown keywords {sorted(unknown)}" if unknown else None


if __name__ == "__main__":
    sys.exit(main())
