"""The family of ``gpu-coldstart artists``: sound, tables, models and options, odd and broken."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import soundfile

from tests.artists.sounds import RATE, SETTINGS, write
from tests.fuzz.runner import HARMFUL, HARMLESS, UNKNOWN, Family, Random, one_of, require, some_of
from tests.fuzz.world import cli, one_refusal
from tests.runs.helpers import files_below, with_column

ARTISTS, EACH = 6, 2
COMMANDS = ("train", "evaluate", "split", "embed")


@dataclass
class Case:
    """A command and what it reads, on the way through mutations.

    Attributes
    ----------
    place : Path
        Holds ``data/tracks.parquet``, ``data/audio`` and ``model``.
    blame : str
        What a refusal must name, after a harmful mutation.
    """

    place: Path
    command: str
    options: dict[str, Any] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    blame: str = ""

    @property
    def audio(self) -> Path:
        return self.place / "data/audio"

    @property
    def table(self) -> pa.Table:
        return pq.read_table(self.place / "data/tracks.parquet")

    @table.setter
    def table(self, table: pa.Table) -> None:
        pq.write_table(table, self.place / "data/tracks.parquet")

    @property
    def files(self) -> list[Path]:
        return sorted(self.audio.iterdir())

    def line(self) -> list[str]:
        words = [self.command] + ([] if self.command == "train" else [str(self.place / "model")])
        return [*words, *(str(each) for pair in self.options.items() for each in pair), *self.more]


@cache
def originals() -> tuple[Path, dict[str, list[float]]]:
    """Sound, its table and a model of the first artists; and where that model puts every track."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-artists-"))
    write(place / "data", ARTISTS, EACH)
    case = Case(place, "train")
    line = ["--data", place / "data", "--audio", case.audio, "--engine", "cpu"]
    quick = [*SETTINGS, "--set", "epochs=2"]
    learned = cli("artists", "train", *line, "--out", place / "model", "--test", 2, *quick)
    require(learned.status == 0, learned.err)
    placed = cli("artists", "embed", place / "model", *line, "--out", place / "places.parquet")
    require(placed.status == 0, placed.err)
    return place, places_in(place / "places.parquet")


def places_in(path: Path) -> dict[str, list[float]]:
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        length = np.linalg.norm(row["embedding"])
        require(abs(length - 1) < 1e-4, f"{row['track_id']} is placed at length {length}")
    return {str(row["track_id"]): row["embedding"] for row in rows}


def fresh(random: Random, place: Path) -> Case:
    """A case that will do."""
    there, _ = originals()
    shutil.copytree(there / "data", place / "data")
    shutil.copy(there / "model", place / "model")
    case = Case(place, str(one_of(random, COMMANDS)))
    case.options = {"--data": place / "data", "--audio": case.audio, "--engine": "cpu"}
    out = {"train": "new.model", "embed": "new.parquet", "split": "new"}.get(case.command)
    if out:
        case.options["--out"] = place / out
    if case.command == "train":
        case.more = [*SETTINGS, "--set", "epochs=1"]
    return case


Mutation = Callable[[Random, Case], None]
"""Changes the case in place; one that must be refused says what must be named."""


# -- what must change nothing ----------------------------------------------------------------------


def other_order(random: Random, case: Case) -> None:
    case.table = case.table.take(random.permutation(case.table.num_rows))


def more_columns(random: Random, case: Case) -> None:
    columns: list[Any] = [[[1]], [None], [{"a": 1}], ["é"], [b"\xff"]]
    case.table = with_column(case.table, "more", one_of(random, columns) * case.table.num_rows)


def as_csv(random: Random, case: Case) -> None:
    pyarrow.csv.write_csv(case.table.drop_columns(["extra"]), case.place / "data/tracks.csv")
    (case.place / "data/tracks.parquet").unlink()


def in_folders(random: Random, case: Case) -> None:
    for path in some_of(random, case.files):
        folder = case.audio / "more é"
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)


def other_files_beside(random: Random, case: Case) -> None:
    name = str(one_of(random, ["cover.jpg", "README", ".t1.wav", "_x.wav"]))
    (case.audio / name).write_bytes(b"x")


def listed(random: Random, case: Case) -> None:
    """The sound named by a table."""
    names = [path.stem for path in case.files]
    paths = [f"audio/{path.name}" if random.random() < 0.5 else str(path) for path in case.files]
    table = pa.table({"track_id": names, "path": paths})
    file = case.place / "data" / str(one_of(random, ["list.csv", "list.parquet"]))
    (pyarrow.csv.write_csv if file.suffix == ".csv" else pq.write_table)(table, file)
    case.options["--audio"] = file


def another_format(random: Random, case: Case) -> None:
    """Without loss, and on two channels that are alike."""
    path = one_of(random, case.files)
    sound, rate = soundfile.read(path, dtype="float32")
    path.unlink()
    two = np.stack([sound, sound], axis=1)
    if random.random() < 0.5:
        soundfile.write(path.with_suffix(".AIFF"), two, rate, subtype="FLOAT", format="AIFF")
    else:
        soundfile.write(path, two, rate, subtype="FLOAT")


# -- what must be refused --------------------------------------------------------------------------


def broken_sound(random: Random, case: Case) -> None:
    path = one_of(random, case.files)
    kind = str(one_of(random, ["empty", "junk", "text", "no samples", "nan", "folder", "pipe"]))
    path.unlink()
    if kind == "folder":  # holds no sound of its own; a link there leads nowhere
        path.mkdir()
        (path / path.name).symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("no samples", "nan"):
        soundfile.write(path, np.full(0 if kind == "no samples" else 999, np.nan), RATE, "FLOAT")
    else:
        content = {"empty": b"", "junk": random.bytes(3000), "text": b"RIFF is no sound" * 9}
        path.write_bytes(content[kind])
    case.blame = path.name


def sound_twice(random: Random, case: Case) -> None:
    path = one_of(random, case.files)
    shutil.copy(path, path.with_suffix(".flac"))
    case.blame = path.stem


def no_sound(random: Random, case: Case) -> None:
    shutil.rmtree(case.audio)
    if random.random() < 0.5:
        case.audio.mkdir()
    case.blame = "audio"


def bad_list(random: Random, case: Case) -> None:
    """A table of sound without what it needs, or of what is not there."""
    names = ["t0", "t1", "t2"]
    tables: list[Any] = [
        *({"track": names, "path": names}, {"track_id": names}),
        {"track_id": [None, "t1", "t2"], "path": names},
        {"track_id": names, "path": [None, "x", "y"]},
        {"track_id": ["t0", "t0", "t1"], "path": names},
        {"track_id": [], "path": []},
        {"track_id": [["t0"]], "path": ["x"]},
    ]
    file = case.place / "data/list.parquet"
    table = one_of(random, tables)
    pq.write_table(pa.table(table), file)
    twice = table.get("track_id", []).count("t0") > 1
    case.options["--audio"], case.blame = file, "'t0'" if twice else "list.parquet"
    if random.random() < 0.2:
        file.write_bytes(one_of(random, [b"", b"PAR1", random.bytes(200)]))
        case.blame = "list.parquet"


def bad_table(random: Random, case: Case) -> None:
    table, n = case.table, case.table.num_rows
    twice = ["t0", *table["track_id"].to_pylist()[: n - 1]]
    spoiled: list[tuple[pa.Table, str]] = [
        (table.drop_columns(["track_id"]), "track_id"),
        (table.drop_columns(["artist_id"]), "artist_id"),
        (with_column(table, "track_id", twice), "track_id"),
        (with_column(table, "track_id", [None, *twice[1:]]), "track_id"),
        (with_column(table, "artist_id", [[1]] * n), "artist_id"),
        (with_column(table, "artist_id", [0.5] * n), "artist_id"),
        (with_column(table, "genre", [{"a": 1}] * n), "genre"),
        (table.append_column("artist_id", table["artist_id"]), "artist_id"),
    ]
    case.table, case.blame = one_of(random, spoiled)


def no_table(random: Random, case: Case) -> None:
    path = case.place / "data/tracks.parquet"
    path.unlink()
    if random.random() < 0.6:
        path.write_bytes(one_of(random, [b"", b"PAR1PAR1", random.bytes(500)]))
    case.blame = "tracks.parquet"


def bad_model(random: Random, case: Case) -> None:
    content = (case.place / "model").read_bytes()
    cut = content[: int(random.integers(len(content)))]
    (case.place / "model").write_bytes(one_of(random, [b"", cut, random.bytes(900)]))
    case.blame = "model" if case.command != "train" else ""  # which reads none


def bad_option(random: Random, case: Case) -> None:
    values = [("--engine", "gpu"), ("--data", "/nowhere"), ("--audio", "/nowhere")]
    more = {
        "train": [
            *(("--set", each) for each in ("epochs=0", "margin=nan", "miner=x", "seconds=1e9")),
            *(("--set", each) for each in ("nope=1", "x", "mel_bands=4", "validation=1", "=2")),
            *(("--test", "99"), ("--seed", "-1")),
        ],
        "evaluate": [("--groups", "0"), ("--groups", "x"), ("--homonyms", "x.csv")],
        "split": [("--artist", "nobody"), ("--artist", ""), ("--least", "-1")],
        "embed": [("--out", "x.csv"), ("--out", "/proc/x.parquet")],
    }
    option, value = one_of(random, values + more[case.command])
    case.more += [option, value]
    words = {"99": "too little", "=2": "setting", "x.csv": option, "/proc/x.parquet": "/proc"}
    case.blame = words.get(value, value.partition("=")[0])


# -- of which nobody knows -------------------------------------------------------------------------


def odd_sound(random: Random, case: Case) -> None:
    """Silence, one sample, other rates, more channels, huge samples."""
    path = one_of(random, case.files)
    n, rate = int(one_of(random, [1, 7, 500, 9000])), int(one_of(random, [1, 99, 4000, 192_000]))
    sound = random.normal(size=(n, int(one_of(random, [1, 2, 5])))) * one_of(random, [0, 1, 1e30])
    soundfile.write(path, sound.astype(np.float32), rate, "FLOAT")


def other_bytes(random: Random, case: Case) -> None:
    path = one_of(random, [*case.files, case.place / "model", case.place / "data/tracks.parquet"])
    content = bytearray(path.read_bytes())
    for at in random.integers(min(len(content), 3000), size=int(random.integers(1, 5))):
        content[at] = int(random.integers(256))
    path.write_bytes(
        bytes(
            content[: int(random.integers(1, len(content)))] if random.random() < 0.3 else content
        )
    )


def odd_ids(random: Random, case: Case) -> None:
    """Of another type than the names of the files say, or odd ones."""
    n = case.table.num_rows
    odd: list[Any] = [range(n), range(2**62, 2**62 + n), np.arange(n) / 1, np.arange(n) / 2]
    odd += [[f" t{i}" for i in range(n)], [f"../audio/t{i}" for i in range(n)], [None] * n]
    column = str(one_of(random, ["track_id", "artist_id"]))
    case.table = with_column(case.table, column, pa.array(one_of(random, odd)))


def empty_groups(random: Random, case: Case) -> None:
    """Artists without a track that sounds, or none at all; nobody's tracks; one for all."""
    n, kind = case.table.num_rows, int(random.integers(4))
    if kind == 0:
        for path in some_of(random, case.files, 1, len(case.files) - 1):
            path.unlink()
    elif kind == 1:
        case.table = case.table.slice(0, int(random.integers(n)))
    else:
        artists = [None] * n if kind == 2 else ["one"] * n
        case.table = with_column(case.table, "artist_id", pa.array(artists, pa.string()))


def odd_option(random: Random, case: Case) -> None:
    values = {
        "train": [("--set", "excerpts=1"), ("--set", "channels=1"), ("--set", "seconds=0.5")],
        "evaluate": [("--groups", "1"), ("--least", "99"), ("--seed", "7")],
        "split": [("--least", "0"), ("--least", "2147483647"), ("--artist", "a1")],
        "embed": [("--force",), ("--out", str(case.place / "a/b/é.parquet"))],
    }
    case.more += one_of(random, values[case.command])


def odd_homonyms(random: Random, case: Case) -> None:
    """The paper's list, whose ids are integers, in place of tables."""
    lines = ["sng_id,art_name,fold", "0,A_0,1", "1,A_1,1", "2,A_0,1", "0,A_0,2"]
    odd = [
        "",
        "x",
        "3,A_2",
        "0,A_1,1",
        "t3,A,1",
        "9,,1",
        "99999999999999999999,A_1,1",
        '5,"A\n_0",1',
    ]
    lines += some_of(random, odd) if random.random() < 0.7 else []
    file = case.place / "list.csv"
    file.write_text("\n".join(lines if random.random() < 0.8 else lines[1:]))
    for path in case.files:
        path.rename(path.with_stem(path.stem.removeprefix("t")))
    if case.command == "evaluate":
        del case.options["--data"]
        case.options["--homonyms"] = file


MUTATIONS: dict[str, list[Mutation]] = {
    HARMLESS: [
        *(other_order, more_columns, as_csv, in_folders, other_files_beside),
        *(listed, another_format),
    ],
    HARMFUL: [
        *(broken_sound, broken_sound, sound_twice, no_sound, bad_list, bad_table, no_table),
        *(bad_model, bad_option),
    ],
    UNKNOWN: [odd_sound, other_bytes, odd_ids, empty_groups, odd_option, odd_homonyms],
}


# -- what comes of it ------------------------------------------------------------------------------


def trial(random: Random, place: Path, done: list[str]) -> str:
    case = fresh(random, place)
    expectation = str(one_of(random, list(MUTATIONS)))
    mutation = one_of(random, MUTATIONS[expectation])
    mutation(random, case)
    done.append(f"{mutation.__name__}: {case.line()}")
    if expectation == HARMFUL and not case.blame:
        expectation = UNKNOWN
    if mutation is broken_sound and case.command == "evaluate":
        expectation = UNKNOWN  # of an artist who was learned from, no sound is read
    before = files_below(place)
    result = cli("artists", *case.line())
    require("Traceback" not in result.out + result.err, result.err[-2000:])
    new = files_below(place) - before
    if result.status == 2:
        require(expectation != HARMLESS, f"refused: {result.err}")
        one_refusal(result, *([case.blame] if expectation == HARMFUL else []))
        require(not new, f"left {new}")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-2000:]}")
    require(expectation != HARMFUL, f"not refused: {result.out[-300:]}")
    _finished(case, expectation, new)
    return "same" if expectation == HARMLESS else "sound"


def _finished(case: Case, expectation: str, new: set[str]) -> None:
    """Check what a command wrote."""
    require(len(new) == (case.command != "evaluate"), f"wrote {new}")
    for name in new:
        path = case.place / name
        if case.command == "embed":
            found, wanted = places_in(path), originals()[1]
            if expectation == HARMLESS:
                require(found.keys() == wanted.keys(), f"placed {sorted(found)}")
                far = [t for t in wanted if np.abs(np.subtract(found[t], wanted[t])).max() > 1e-4]
                require(not far, f"other places: {far}")
        elif case.command == "split" and (case.place / "data/tracks.parquet").exists():
            apart = ["artist_id"]
            same = pq.read_table(path).drop_columns(apart).equals(case.table.drop_columns(apart))
            require(same or expectation == UNKNOWN, "more than artist_id has changed")


SOUNDS = Family("artists", trial, originals)
