"""The family of command lines: options, paths and values, in any order, repeated, missing, odd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.fuzz.artifacts import originals, served, snapshot_of
from tests.fuzz.runner import HARMFUL, HARMLESS, UNKNOWN, Family, Random, one_of, require
from tests.fuzz.world import OPTIONS, SIZES, K, cli, lists_of, one_refusal, sound
from tests.runs.helpers import events, track_lists

Pairs = list[tuple[str, ...]]
"""Options with their values, and arguments, as they are on the line."""

BAD_PATHS = (
    "",
    "nowhere",
    "/nowhere/at/all",
    "a\nb",
    "é" * 40,
    "x" * 300,
    "~nobody/x",
    "-",
    "file",
)
ODD_OUT = ("é ü", "a b", "new/deep/er", "=x", "[x]", "%s", "'", '"', "..x", "a\u202eb")


def pairs_of(line: list[str]) -> Pairs:
    """Options with the value that follows; the fuzzed commands have no flags among theirs."""
    pairs: Pairs = []
    words = iter(line)
    for word in words:
        pairs.append((word, next(words)) if word.startswith("--") else (word,))
    return pairs


def bases(place: Path) -> dict[str, Pairs]:
    """A line of each command that will do."""
    here = originals()
    today, log = str(here / "today.parquet"), str(here / "data" / "interactions.parquet")
    cpu = ("--engine", "cpu")
    return {
        "run": [*pairs_of(events(here / "data", **SIZES) + list(OPTIONS)), ("--out", "run")],
        "check": [
            (str(here / "data"),),
            ("--set", "tt_svd.dimension=4"),
            ("--set", "evaluation.k=5"),
        ],
        "compare": [(str(here / "run"),), (str(here / "other"),), ("--out", "both.csv")],
        "recommend": [
            (str(here / "bundle"),),
            *(("--users", today), ("--interactions", log), ("--k", str(K)), cpu),
            ("--out", "lists.parquet"),
        ],
    }


# -- mutations: each returns the line, the expectation, and what a refusal must name ---------------

Change = Callable[[Random, str, Pairs], tuple[Pairs, str, str]]


def options_at(pairs: Pairs) -> list[int]:
    return [at for at, pair in enumerate(pairs) if len(pair) == 2]


def shuffled(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """Options in another order among arguments that keep theirs."""
    order = random.permutation(len(pairs))
    arguments = iter([pair for pair in pairs if len(pair) == 1])
    line = [pairs[i] if len(pairs[i]) == 2 else next(arguments) for i in order]
    return line, HARMLESS, ""


def with_equals(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    return [(f"{p[0]}={p[1]}",) if len(p) == 2 else p for p in pairs], HARMLESS, ""


def repeated(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """The last of an option counts."""
    at = one_of(random, options_at(pairs))
    return [*pairs[:at], pairs[at], *pairs[at:]], HARMLESS, ""


def out_elsewhere(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    stem = str(one_of(random, ODD_OUT))
    suffix = {"compare": ".csv", "recommend": one_of(random, [".csv", ".parquet"])}.get(name, "")
    return [("--out", stem + suffix) if p[0] == "--out" else p for p in pairs], HARMLESS, ""


def unknown_option(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    option = str(one_of(random, ["--nope", "--Out", "--outt", "-z", "--é", "--set-", "--no-out"]))
    at = int(random.integers(len(pairs) + 1))
    return [*pairs[:at], (option,), *pairs[at:]], HARMFUL, option


def without_value(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """The last option lacks its value."""
    at = one_of(random, options_at(pairs))
    option = pairs[at][0]
    return [*pairs[:at], *pairs[at + 1 :], (option,)], HARMFUL, option


def bad_value(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """A value that the option cannot have."""
    bad = {
        "run": [
            ("--space", "tt"),
            ("--space", ""),
            ("--engine", "gpu"),
            ("--preset", "Tiny"),
            ("--dataset", "x"),
            ("--protocol", "é"),
            ("--seed", "-1"),
            ("--seed", "1.5"),
            ("--seed", "9" * 5000),
            ("--k", "0"),
            ("--k", "5,5"),
            ("--k", "x"),
            ("--k", ""),
            ("--k", "61"),
            ("--strategies", "semi,nope"),
            ("--strategies", ""),
            ("--memory-budget", "8"),
            ("--memory-budget", "1GB"),
            ("--device", "0"),
            ("--device", "0,0"),
            ("--device", "0,1,2"),
            ("--device", "-1"),
            ("--device", "x"),
            ("--set", "x"),
            ("--set", "=1"),
            ("--set", "nope=1"),
            ("--set", "segments.k=-1"),
            ("--set", "segments.k="),
            ("--set", "segments.k=x"),
            ("--set", ""),
            ("--config", "nowhere.toml"),
            ("--config", ""),
        ],
        "check": [("--set", "x"), ("--set", "nope=1"), ("--set", "segments.k=x"), ("--set", "")],
        "compare": [("--out", "x.txt"), ("--out", ""), ("--out", "x"), ("--out", "x.CSV")],
        "recommend": [
            ("--k", "0"),
            ("--k", "-1"),
            ("--k", "x"),
            ("--k", ""),
            ("--k", "1e3"),
            ("--k", "61"),
            ("--k", "9" * 5000),
            ("--strategy", "nope"),
            ("--strategy", ""),
            ("--engine", "CPU"),
            ("--out", "x.txt"),
            ("--out", ""),
            ("--out", "x"),
        ],
    }
    option, value = one_of(random, bad[name])
    key = value.partition("=")[0] if "." in value or value.startswith("nope") else ""
    names = {"--k": "k", "--strategies": "strategies", "--strategy": "strategy", "--seed": "seed"}
    word = key or names.get(option, option.removeprefix("--"))
    words = {"--config": "config", "--memory-budget": "--memory-budget"}
    return [*pairs, (option, value)], HARMFUL, words.get(option, word)


def bad_path(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """A place where there is nothing of the kind."""
    takes = [
        at
        for at, pair in enumerate(pairs)
        if len(pair) == 1 or pair[0] in ("--data", "--users", "--interactions")
    ]
    at = one_of(random, takes)
    path = str(one_of(random, BAD_PATHS))
    return [*pairs[:at], (*pairs[at][:-1], path), *pairs[at + 1 :]], HARMFUL, ""


def bad_out(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    """A place that cannot be written."""
    ending = {"run": "", "compare": ".csv", "recommend": ".parquet"}.get(name)
    if ending is None:
        return unknown_option(random, name, pairs)
    path = str(one_of(random, ["file/x", "x" * 300, "/proc/x", "folder"]))
    if path == "folder":
        path = "file" if name == "run" else "folder"
    return [*pairs, ("--out", path + ("" if path == "file" else ending))], HARMFUL, ""


def a_part_less(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    at = int(random.integers(len(pairs)))
    if pairs[at][0] in ("--preset", "--set", "--space", "--dataset"):
        return pairs, HARMLESS, ""  # the run would grow, or be on another data set
    return [*pairs[:at], *pairs[at + 1 :]], UNKNOWN, ""


def odd_words(random: Random, name: str, pairs: Pairs) -> tuple[Pairs, str, str]:
    odd = ["", " ", "--", "-", "é", "--out", "\n", "*", "=", "a" * 300, "\udcff", "0", "--help"]
    at = int(random.integers(len(pairs) + 1))
    return [*pairs[:at], (str(one_of(random, odd)),), *pairs[at:]], UNKNOWN, ""


CHANGES: tuple[Change, ...] = (
    *(shuffled, with_equals, repeated, out_elsewhere, unknown_option, without_value),
    *(bad_value, bad_value, bad_path, bad_out, a_part_less, odd_words),
)


# -- what comes of it ------------------------------------------------------------------------------


def trial(random: Random, place: Path, done: list[str]) -> str:
    (place / "file").write_text("x")
    for folder in ("folder.csv", "folder.parquet"):
        (place / folder).mkdir()
    name = str(one_of(random, ["run", "check", "compare", "recommend"]))
    change: Any = one_of(random, CHANGES)
    pairs, expectation, word = change(random, name, bases(place)[name])
    line = [name, *(part for pair in pairs for part in pair)]
    done.append(f"{change.__name__}: {[each[:60] for each in line]}")
    before = snapshot_of(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = cli(*line)
    require("Traceback" not in result.out + result.err, result.err[-2000:])
    if result.status == 2:
        require(expectation != HARMLESS, f"refused: {result.err or result.out}")
        require(snapshot_of(place) == before, f"left {set(snapshot_of(place)) - set(before)}")
        if name == "check" and not result.err:
            require("problem" in result.out, result.out)
        else:
            one_refusal(result, word)
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-2000:]}")
    require(expectation != HARMFUL, f"not refused: {result.out[-300:]}")
    return _finished(
        name, expectation, {Path(path) for path in snapshot_of(place)} - {Path(p) for p in before}
    )


def _finished(name: str, expectation: str, new: set[Path]) -> str:
    """Check what a command wrote."""
    for path in new:
        if path.name == "manifest.json":
            lists = sound(path.parent)
            require(track_lists(path.parent), "no lists")
            if expectation == HARMLESS:
                require(lists == sound(originals() / "run"), "other recommendations")
        elif name == "recommend" and path.is_file():
            read = pyarrow.csv.read_csv if path.suffix == ".csv" else pq.read_table
            if expectation == HARMLESS:
                require(lists_of(read(path)) == served(), "other recommendations")
    return "same" if expectation == HARMLESS else "sound"


COMMAND_LINE = Family("command-line", trial, served)
