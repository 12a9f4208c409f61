"""The command as a process: signals at any moment, readers that go away, closed streams."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_coldstart.cli import interruption
from gpu_coldstart.run import main
from tests.runs.helpers import Result, command, finished, one_thread, refused, synthetic

ENDLESS = (*("--set", "mlp.epochs_tt_svd=1000000"), *("--set", "mlp.patience=0"))
FEW = ("--space", "tt-svd", "--strategies", "popularity")
SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]

# Imported by Python before anything else; sends the signal when a module is about to be imported.
SITE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Now:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Now())
"""


def start(
    *arguments: object, module: str = "gpu_coldstart.run", site: Path | None = None
) -> subprocess.Popen[str]:
    """The command in a process with default handlers, whatever this one ignores."""
    environment = one_thread()
    if site is not None:
        paths = [str(site), *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


# -- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status", "word"), SIGNALS)
@pytest.mark.parametrize("module", ["typer", "numpy", "torch", "gpu_coldstart.runs.progress"])
def test_a_signal_amid_the_imports_is_one_line(
    tmp_path: Path, module: str, number: signal.Signals, status: int, word: str
) -> None:
    text = SITE.format(module=module, number=int(number))
    (tmp_path / "sitecustomize.py").write_text(text)
    process = start(*synthetic(), "--out", tmp_path / "run", site=tmp_path)
    with finished(process) as result:
        assert (result.status, result.out, result.err) == (status, "", f"{word}\n")
    assert not (tmp_path / "run").exists()


def test_a_signal_amid_the_work_is_one_line_and_logged(tmp_path: Path) -> None:
    """One from outside, at no moment in particular; of both at chosen moments, see test_resume."""
    out = tmp_path / "run"
    process = start(*synthetic(), *FEW, *ENDLESS, "--out", out)
    assert process.stdout is not None
    for line in process.stdout:
        if "tt-svd/segments" in line:
            break
    process.send_signal(signal.SIGTERM)
    with finished(process) as result:
        assert result.status == 143
        assert result.err == "terminated: the same command with --resume continues from here\n"
    assert not list(out.rglob("*.part"))
    assert (out / "run.log").read_text().splitlines()[-1].endswith(" terminated")


def _swallow(number: signal.Signals) -> None:
    """What a library does that catches everything."""
    try:
        os.kill(os.getpid(), number)
    except BaseException:
        return
    raise AssertionError("no exception came")


def _swallowed_by_a_library() -> None:
    _swallow(signal.SIGTERM)
    interruption.check()
    raise AssertionError("it did not come again")


def _swallowed_at_the_end() -> None:
    _swallow(signal.SIGTERM)


def _turned_into_another_error() -> None:
    _swallow(signal.SIGTERM)
    raise ImportError("numpy failed to import")


@pytest.mark.parametrize(
    "work", [_swallowed_by_a_library, _swallowed_at_the_end, _turned_into_another_error]
)
def test_an_interruption_is_never_lost(work: Callable[[], None]) -> None:
    def run() -> None:
        with interruption.work():
            work()

    with pytest.raises(interruption.Interrupted) as caught:
        run()
    assert caught.value.status == 143
    interruption.check()  # nothing is pending any more


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert command("--version").status == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# -- output ------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    process = start(*synthetic(), *FEW, *ENDLESS, "--out", tmp_path / "run")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("gpu_coldstart ")
    process.stdout.close()
    assert process.stderr is not None
    try:
        assert process.wait(60) == 141
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stderr.close()


def without(closed: str, *arguments: str) -> int:
    """The command's exit status where a shell closes some of its streams."""
    line = f'exec "$0" -m gpu_coldstart.run "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, *arguments], env=one_thread(), check=False
    )
    return done.returncode


ALL = "<&- >&- 2>&-"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", ALL])
def test_streams_closed_from_the_start(closed: str) -> None:
    assert without(closed, "--version") == 0
    assert without(closed, "--nonsense") == 2


def test_a_run_needs_no_streams(tmp_path: Path) -> None:
    assert without(ALL, *synthetic(), *FEW, "--out", str(tmp_path / "run")) == 0
    assert (tmp_path / "run/results.json").exists()


def as_a_process(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, bytes, bytes]:
    """The command in this process, as if it owned it: exit status, and what it wrote."""
    written = [io.BytesIO() for _ in range(2)]
    streams = [io.TextIOWrapper(file, "utf-8", write_through=True) for file in written]
    handlers = interruption.install()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["run", *map(str, arguments)])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        # What pytest keeps of the log could not be sent between its processes.
        patch.setattr(logging.getLogger("gpu_coldstart"), "propagate", False)
        try:
            status = main()
        finally:
            interruption.restore(handlers)
    return status, written[0].getvalue(), written[1].getvalue()


def test_a_place_whose_name_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / os.fsdecode(b"r\xff\xe9")
    status, printed, err = as_a_process(monkeypatch, *synthetic(), *FEW, "--out", out)
    assert (status, err) == (0, b"")
    assert b"written to %b: " % os.fsencode(out) in printed
    assert (out / "results.json").exists()
    line = next(
        line for line in (out / "run.log").read_bytes().splitlines() if b" written to " in line
    )
    assert os.fsencode(out) in line


def test_data_whose_name_is_not_utf8_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / os.fsdecode(b"d\xff")
    status, out, err = as_a_process(monkeypatch, "--dataset", "events", "--data", data)
    told = Result(status, os.fsdecode(out), os.fsdecode(err))
    refused(told, "'data'", str(data), "not UTF-8", "symbolic link")


# -- imports -----------------------------------------------------------------------------------

HEAVY = {
    *("numpy", "scipy", "torch", "pyarrow", "numba", "faiss", "matplotlib", "jinja2", "rich"),
    *("pandas", "polars"),
}

IMPORTED = """
import sys
from gpu_coldstart.cli.main import main
assert main(sys.argv[1:]) == 0
sys.stderr.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["compare", "--help"],
        ["data", "--help"],
        ["data", "synthetic", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """What keeps it below half a second."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        capture_output=True,
        text=True,
        env=one_thread(),
        check=True,
    )
    imported = set(done.stderr.split())
    assert "typer" in imported
    assert not imported & HEAVY
    assert re.search(r"Usage|gpu_coldstart \d", done.stdout)
