"""The dictionary of a run's files and columns (docs/outputs.md), and what the files have."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open

PAGE = Path(__file__).parents[1] / "docs/outputs.md"
_NAMES = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Entry:
    """A name of the page, in which words in capitals stand for anything."""

    name: str
    kind: str = ""
    always: bool = True

    def fits(self, name: str) -> bool:
        parts = re.split(r"[A-Z]+", self.name)
        return re.fullmatch("[^/]+".join(map(re.escape, parts)), name) is not None


def described() -> dict[Entry, list[Entry]]:
    """The columns of every file of the page; none for one without a table of them."""
    text = PAGE.read_text(encoding="utf-8")
    everywhere = {
        entry.name: entry.kind for entry in _columns(text.partition("\n## ")[0], {}) if entry.kind
    }
    found: dict[Entry, list[Entry]] = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        head, _, body = section.partition("\n")
        columns = _columns(body.partition("\n## ")[0], everywhere)
        found |= {Entry(name): columns for name in _NAMES.findall(head)}
    return found


def _columns(text: str, everywhere: dict[str, str]) -> list[Entry]:
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in _lines(text)]
    return [
        Entry(name, kind or everywhere.get(name, ""), always=not meaning.startswith("Only "))
        for names, kind, _, meaning in (row for row in rows if len(row) == 4)
        for name in _NAMES.findall(names)
    ]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def entry_of(entries: Iterable[Entry], name: str) -> Entry | None:
    """The entry that a name is described by: of those that fit, the most literal one."""

    def literal(entry: Entry) -> tuple[int, int]:
        first, *rest = re.split("[A-Z]+", entry.name)
        return len(first), sum(map(len, rest))

    return max((entry for entry in entries if entry.fits(name)), key=literal, default=None)


def columns_of(path: Path) -> dict[str, str]:
    """The columns, arrays or keys of a file, each with its type as the page says it."""
    if path.suffix == ".parquet":
        return {field.name: _told(field.type) for field in pq.read_schema(path)}
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as lines:
            return dict.fromkeys(next(csv.reader(lines)), "")
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as arrays:
            kinds = {name: arrays.get_slice(name).get_dtype() for name in arrays.keys()}  # noqa: SIM118 - no dict
        words = {"F": "float", "I": "int", "U": "uint"}
        return {name: words[kind[0]] + kind[1:] for name, kind in kinds.items()}
    if path.suffix == ".json":
        return _keys(json.loads(path.read_bytes()))
    return {}


def _told(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_list(kind):
        return f"list of {_told(kind.value_type)}"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind):
        return "integer"
    return "number" if types.is_floating(kind) else "text"


def _keys(content: Any) -> dict[str, str]:
    """The keys of an object, and those of the objects in its lists."""
    if isinstance(content, list):
        each = content[0] if content and isinstance(content[0], dict) else {}
        return {f"[].{key}": kind for key, kind in _keys(each).items()}
    words = {dict: "object", list: "list", str: "text", int: "integer", float: "number"}
    found = {}
    for key, value in content.items():
        found[key] = words[type(value)]
        if isinstance(value, list):
            found |= {f"{key}{below}": kind for below, kind in _keys(value).items()}
    return found


def same_type(told: str, found: str) -> bool:
    """Whether a column is of the type that the page says; an id is an integer or text."""
    if not told or not found:
        return True
    return found in {told, told.replace("id", "integer"), told.replace("id", "text")}
