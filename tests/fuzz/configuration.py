"""The family of configuration: TOML files, ``--set`` and values from Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from gpu_coldstart import registry
from gpu_coldstart.config import Config, flat, json_schema, resolve, to_toml
from gpu_coldstart.errors import UserError
from tests.fuzz.runner import Family, Random, one_of, require, some_of

NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "dataset": registry.DATASETS.names,
    "model": registry.MODELS.names,
    "spaces": registry.SPACES.names,
    "strategies.names": registry.STRATEGIES.names,
    "strategies.best_experts": lambda: set(registry.STRATEGIES.names()) - {"best"},
}


@cache
def leaves() -> dict[str, dict[str, Any]]:
    """The JSON schema of every key, but for the knobs of the world, which hang together."""
    schema = json_schema()
    keys = {}
    for name, node in schema["properties"].items():
        inner = schema["$defs"].get(node.get("$ref", "").rpartition("/")[2], {})
        for leaf, rule in inner.get("properties", {"": node}).items():
            keys[f"{name}.{leaf}" if leaf else name] = rule
    return {key: rule for key, rule in keys.items() if key.partition(".")[0] != "world"}


# -- values ----------------------------------------------------------------------------------------


def valid(random: Random, key: str, rule: dict[str, Any] | None = None) -> Any:
    """A value that a key may have."""
    rule = leaves()[key] if rule is None else rule
    if key in NAMES:
        names = some_of(random, sorted(NAMES[key]()), 1, 9)
        return names if rule["type"] == "array" else names[0]
    if "enum" in rule:
        return one_of(random, rule["enum"])
    if rule["type"] == "array":
        values = {valid(random, "", rule["items"]) for _ in range(int(random.integers(1, 4)))}
        return sorted(values)
    if rule["type"] == "boolean":
        return bool(random.integers(2))
    if rule["type"] == "string":
        return one_of(random, ["/logs", "/é ü", "/a'b", '/a"b', "/=x", "/[1]", "/2020", "/\\n"])
    low = rule.get("minimum", 0)
    high = rule.get("maximum", rule.get("exclusiveMaximum", 10))
    if rule["type"] == "integer":
        return int(one_of(random, [low, low + 1, random.integers(low, high + 1), high]))
    return float(
        one_of(random, [low or 0.5, low + (min(high, 1) - low) * random.uniform(0.1, 0.9)])
    )


def invalid(random: Random, key: str) -> Any:
    """A value that it may not have."""
    rule = leaves()[key]
    kind, every = rule["type"], [{}, {"a": 1}, [[1]]]
    if kind == "array":
        twice = [] if key == "mlp.hidden" else [[5, 5]]
        return one_of(random, [*every, *twice, [], [None], [math.nan], [{}], [-1], "x"])
    wrong: list[Any] = [*every, [1, 2]]
    if kind in ("integer", "number"):
        wrong += [
            "",
            "x",
            "é",
            "1_0_",
            True,
            False,
            math.nan,
            math.inf,
            -math.inf,
            -1,
            2**31,
            10**400,
        ]
        wrong += [1.5, "1 2"] if kind == "integer" else []
        wrong += [1.0] if "exclusiveMaximum" in rule else []
    elif kind == "boolean":
        wrong += [0, 1, "yes", "True", "", 0.5]
    elif key != "data":
        wrong += ["", "x", "Own", "é", 1, True, "own ", "a" * 5000]
    return one_of(random, wrong)


def spelled(value: Any) -> str:
    """A value as TOML text."""
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def given(random: Random, place: Path, values: dict[str, Any], done: list[str]) -> Config:
    """Resolve some values, each from a file, as text of ``--set`` or from Python."""
    tree: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for key, value in values.items():
        way = one_of(random, ["file", "text", "python"])
        try:
            text = "" if isinstance(value, dict) else spelled(value)
        except (TypeError, ValueError):  # no TOML
            text = ""
        way = way if text else "python"
        done.append(f"{key} = {str(value)[:60]!r} ({way})")
        section, _, leaf = key.rpartition(".")
        is_section = "." not in section and isinstance(tree.get(section, {}), dict)
        if way == "file" and is_section:
            (tree.setdefault(section, {}) if section else tree)[leaf] = value
        elif way == "text" and key != "data" and not isinstance(value, str):
            settings[key] = text
        else:
            settings[key] = value
    path = place / "some.toml"
    path.write_text(tomli_w.dumps(tree), encoding="utf-8")
    return resolve(files=[path], settings=settings)


# -- trials ----------------------------------------------------------------------------------------


def accepted(random: Random, place: Path, done: list[str]) -> str:
    """Valid values arrive, and the whole configuration comes back from its own text."""
    values = {key: valid(random, key) for key in some_of(random, sorted(leaves()), 1, 5)}
    config = given(random, place, values, done)
    resolved = flat(config)
    for key, value in values.items():
        wanted = tuple(value) if isinstance(value, list) else value
        require(resolved[key] == wanted, f"{key} became {resolved[key]!r}")
    (place / "config.toml").write_text(to_toml(config), encoding="utf-8")
    require(resolve(files=[place / "config.toml"]) == config, "config.toml gives another one")
    return "same"


def refused(random: Random, place: Path, done: list[str]) -> str:
    """Of wrong keys and values every one is named, whatever is right beside them."""
    keys = some_of(random, sorted(leaves()), 2, 6)
    wrong = keys[: int(random.integers(1, len(keys)))]
    values = {key: valid(random, key) for key in keys}
    values |= {key: invalid(random, key) for key in wrong}
    if random.random() < 0.3:
        stranger = one_of(
            random, ["segmets.k", "k", "x.y", "mlp.", ".k", "seed.x", "é.ü", "world.x"]
        )
        values[stranger] = 1
        wrong.append(str(stranger))
    try:
        given(random, place, values, done)
    except UserError as error:
        text = str(error)
        for key in wrong:
            require(key in text, f"{key} is not in: {text}")
        require(len(text) < 400 * len(values), f"{len(text)} characters: {text[:500]}")
        return "refused"
    require(False, f"{wrong} not refused")
    return ""


def spoiled(random: Random, place: Path, done: list[str]) -> str:
    """A file whose bytes are not what they were is refused, or gives a valid configuration."""
    values = {key: valid(random, key) for key in some_of(random, sorted(leaves()), 1, 9)}
    content = bytearray(to_toml(resolve(settings=values)).encode())
    for _ in range(int(random.integers(1, 4))):
        at, kind = int(random.integers(len(content))), int(random.integers(4))
        if kind == 0:
            content[at] = int(random.integers(256))
        elif kind == 1:
            del content[at : at + int(random.integers(1, 30))]
        elif kind == 2:
            content[at:at] = one_of(random, [b"\n", b"[", b'"', b"\xff", b"=", b"\x00", b"[a.b]\n"])
        else:
            content[at:at] = content[: int(random.integers(len(content)))]
    path = place / "spoiled.toml"
    path.write_bytes(bytes(content))
    done.append("a spoiled file")
    try:
        config = resolve(files=[path])
    except UserError as error:
        require("Traceback" not in str(error), str(error))
        return "refused"
    path.write_text(to_toml(config), encoding="utf-8")
    require(resolve(files=[path]) == config, "config.toml gives another one")
    return "sound"


def a_world(random: Random, place: Path, done: list[str]) -> str:
    """Knobs of the synthetic world, which hang together: taken as they are, or named."""
    knobs = {key: value for key, value in flat(resolve(preset="tiny")).items() if "world." in key}
    values = {}
    for key in some_of(random, sorted(knobs), 1, 3):
        value = knobs[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            odd = [0, -1, 2**31, 10**400, math.nan, math.inf, "x", True, [value]]
            near = [type(value)(value * random.uniform(0.5, 2)) for _ in odd]
            values[key] = one_of(random, [*near, *odd])
        else:
            values[key] = one_of(random, [value, "x", "", "2020-02-30", 0, [], None, {}])
    try:
        config = given(random, place, values, done)
    except UserError as error:
        text = str(error)
        require(any(key in text for key in values), f"none of {list(values)} is in: {text}")
        return "refused"
    resolved = flat(config)
    for key, value in values.items():
        wanted = tuple(value) if isinstance(value, list) else value
        require(resolved[key] == wanted, f"{key} became {resolved[key]!r}")
    return "same"


def trial(random: Random, place: Path, done: list[str]) -> str:
    kind: Any = one_of(random, [accepted, refused, spoiled, a_world])
    done.append(kind.__name__)
    return str(kind(random, place, done))


CONFIGURATION = Family("configuration", trial)
