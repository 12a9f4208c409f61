"""Names out of the data, shown to people: nothing in them is invisible, or does anything."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from gpu_coldstart.cli import console
from gpu_coldstart.runs.names import spreadsheet_safe, visible
from gpu_coldstart.runs.progress import Reporter
from gpu_coldstart.runs.tables import csv_bytes

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
SIGNS = {
    "NUL": ("a\x00b", "a␀b"),
    "escape": ("a\x1b[31mb", "a␛[31mb"),
    "vertical tab": ("a\x0bb", "a␋b"),
    "carriage return": ("a\rb", "a␍b"),
    "delete": ("a\x7fb", "a␡b"),
    "next line": ("a\x85b", "a�b"),
    "line separator": ("a\u2028b", "a�b"),
    "right-to-left override": ("a\u202eb", "a�b"),
    "isolate": ("a\u2066b", "a�b"),
    "byte-order mark": ("a\ufeffb", "a�b"),
    "no character": ("a\ufffeb", "a�b"),
    "half a pair": ("a\ud83db", "a�b"),
}
FINE = ("日本", "مرحبا", "e\u0301", "👩\u200d👧", "a\u00adb")


@pytest.mark.parametrize(("name", "shown"), SIGNS.values(), ids=SIGNS.keys())
def test_what_cannot_be_seen_is_a_sign_wherever_a_name_is_shown(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    shown: str,
) -> None:
    # pytest, too, collects what is logged, and could not tell its own processes of half a pair.
    monkeypatch.setattr(logging.getLogger("gpu_coldstart"), "propagate", False)
    assert visible(name) == shown
    assert (
        csv_bytes({"name": [name], "names": [[name]]}).decode() == f"name,names\n{shown},{shown}\n"
    )
    console.write(name)
    console.complain(name)
    assert capsys.readouterr() == (f"{shown}\n", f"error: {shown}\n")
    with Reporter() as reporter:
        reporter.log_to(tmp_path / "run.log")
        reporter.say(name)
        logging.getLogger("gpu_coldstart.test").warning("%s", name)
    lines = (tmp_path / "run.log").read_text("utf-8").splitlines()
    assert [line.partition(" ")[2] for line in lines] == [shown, shown]


@pytest.mark.parametrize("name", FINE)
def test_letters_of_any_script_stay(name: str) -> None:
    assert spreadsheet_safe(visible(name)) == name


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_bytes({"name": [f"{start}1"], "number": [-1]}).decode().split("\n", 1)[1] in (
        f"'{start}1,-1\n",
        f'"\'{start}1",-1\n',
    )
    assert spreadsheet_safe("\r=1").startswith("␍")
