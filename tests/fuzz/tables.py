"""The family of tables: the data contract, as files and as frames."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.data.contract import REQUIRED
from gpu_coldstart.errors import UserError
from tests.fuzz import harmful, harmless  # noqa: F401 - they register their mutations
from tests.fuzz.data import MUTATIONS, Data, Form, untouched
from tests.fuzz.runner import HARMFUL, HARMLESS, UNKNOWN, Family, Random, one_of, require, some_of
from tests.fuzz.world import K, Lists, lists_of, one_refusal, run, sections, sound


@cache
def expected() -> Lists:
    """The recommendations of the untouched tables."""
    with tempfile.TemporaryDirectory() as place:
        data = untouched().write(Path(place) / "data")
        result = run(data, Path(place) / "run")
        require(result.status == 0, result.err)
        return sound(Path(place) / "run")


def mutated(random: Random, done: list[str]) -> tuple[Data, str]:
    """A few mutations, the expectation that the last one sets, and their names."""
    expectation = str(one_of(random, [HARMLESS, HARMFUL, UNKNOWN]))
    last = [] if expectation == HARMLESS else [one_of(random, MUTATIONS[expectation])]
    data = untouched()
    for mutation in [*some_of(random, MUTATIONS[HARMLESS]), *last]:
        try:
            data = mutation(random, data)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            done.append(f"({mutation.__name__} does not apply: {str(error)[:80]})")
        else:
            done.append(mutation.__name__)
    if expectation == HARMFUL and data.blame is None:
        expectation = UNKNOWN
    return data, expectation


def trial(random: Random, place: Path, done: list[str]) -> str:
    data, expectation = mutated(random, done)
    in_text = data.blame is not None and data.forms.get(data.blame.table, Form()).kind == "csv"
    if not (data.later or in_text) and random.random() < 0.3:
        return _frames(random, data, expectation, done)
    try:
        directory = data.write(place / "data")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        return f"cannot be written ({type(error).__name__})"
    out = place / "run"
    result = run(directory, out)
    if result.status == 2:
        require(expectation != HARMLESS, f"refused: {result.err}")
        words = _words_of_files(data, directory) if expectation == HARMFUL else []
        one_refusal(result, *words)
        if expectation == UNKNOWN and (out / "manifest.json").exists():
            return "refused while learning"  # what is done so far stays, to go on from
        require(not out.exists(), f"left after {result.err}: {sorted(out.rglob('*'))}")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    require(expectation != HARMFUL, f"not refused, blaming {data.blame}")
    by_bytes = any(change.__qualname__.startswith("other_bytes") for change in data.later)
    known = None if by_bytes else data.tables["tracks"]["track_id"].to_pylist()
    return _compared(data, expectation, sound(out, known))


def _compared(data: Data, expectation: str, lists: Lists) -> str:
    old = (
        {
            data.old("user", user): [data.old("track", track) for track in mine]
            for user, mine in lists.items()
        }
        if expectation == HARMLESS
        else lists
    )
    if expectation == HARMLESS:
        other = [user for user in {*old, *expected()} if old.get(user) != expected().get(user)]
        require(not other, f"other recommendations for users {sorted(map(str, other))[:5]}")
    return "same" if old == expected() else "sound"


def _words_of_files(data: Data, directory: Path) -> list[str]:
    """What the sentence of a refusal must have."""
    blame = data.blame
    assert blame is not None
    words = [str(directory / blame.table)]
    if blame.row is not None:
        file, row = data.forms[blame.table].place(directory, blame.table, blame.row)
        words = [f"{file}, column '{blame.column}', row {row}, counting from 0"]
    elif blame.column:
        words.append(f"'{blame.column}'")
    return words


def _frames(random: Random, data: Data, expectation: str, done: list[str]) -> str:
    """The same through frames in memory and the classes."""
    kind = str(one_of(random, ["arrow", "dict", "pandas"]))
    done.append(f"as {kind} frames")
    frames = {name: _frame(table, kind) for name, table in data.tables.items()}
    for name in REQUIRED:
        frames.setdefault(name, {})
    try:
        model = ColdStart(space="tt-svd", engine="cpu", preset="tiny", **sections())
        model.fit(Dataset.from_frames(**frames))
        users = data.tables["users"]
        if "split" in users.column_names:
            splits = map(str, users["split"].to_pylist())
            rows = [row for row, split in enumerate(splits) if split in ("test", "target")]
            # One by one, as Arrow can neither filter nor take views of strings.
            users = pa.concat_tables([users.slice(0, 0), *(users.slice(row, 1) for row in rows)])
        lists = lists_of(model.recommend(users, data.tables["interactions"], k=K))
    except UserError as error:
        text = str(error)
        require(expectation != HARMLESS, f"refused: {text}")
        if expectation == HARMFUL:
            for word in _words(data, kind):
                require(word in text, f"{word!r} is not in: {text}")
        return "refused"
    require(expectation != HARMFUL, f"not refused, blaming {data.blame}")
    return _compared(data, expectation, lists)


def _words(data: Data, kind: str) -> list[str]:
    """What the sentence of a refusal of frames must have; pandas has types of its own."""
    blame = data.blame
    assert blame is not None
    words = [blame.table]
    if kind == "arrow":
        words += [f"'{blame.column}'"] if blame.column else []
        words += [f"row {blame.row}, counting from 0"] if blame.row is not None else []
    return words


def _frame(table: pa.Table, kind: str) -> Any:
    if kind == "arrow" or len(set(table.column_names)) < table.num_columns:
        return table
    if kind == "pandas":
        return table.to_pandas()
    return {name: table[name] for name in table.column_names}


TABLES = Family("tables", trial, expected)
