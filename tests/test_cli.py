"""The command line around the subcommands: usage errors, near misses, odd values."""

from __future__ import annotations

import io
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pyarrow as pa
import pytest

from gpu_coldstart.cli.main import main
from gpu_coldstart.runs.bars import seconds_left
from tests.runs.helpers import Result, refused, synthetic


def calling(*arguments: object) -> Result:
    """Call ``gpu-coldstart`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Result(status, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["Missing command", "run", "compare"]),
        ("rnu", ["'rnu'", "Did you mean 'run'?"]),
        ("run --strategy semi", ["--strategy", "did you mean --strategies?"]),
        ("run --dataset synthtic", ["'--dataset'", "'synthtic'", "did you mean synthetic?"]),
        ("run --protocol mine", ["'mine'", "use one of own, paper, release"]),
        ("run --out", ["'--out' requires an argument"]),
        ("run here", ["unexpected", "here"]),
        ("data", ["Missing command", "synthetic", "deezer-layout"]),
        ("data synthetic", ["Missing option '--out'"]),
        ("data synthetic --out x --preset smal", ["did you mean small?"]),
        ("data synthetic --out x --seed 2147483648", ["'--seed'", "0 to 2147483647"]),
        ("compare", ["two runs or more"]),
        ("recommend", ["Missing argument 'BUNDLE'"]),
        ("recommend none --users a.csv", ["Missing option '--out'"]),
        ("export", ["Missing argument 'RUN'"]),
        ("export none", ["Missing option '--out'"]),
        ("export none --out x --space tt-svf", ["did you mean tt-svd?"]),
        ("refresh", ["Missing argument 'BUNDLE'"]),
        ("refresh none --dryrun", ["--dryrun", "did you mean --dry-run?"]),
    ],
)
def test_a_usage_error_is_one_line_with_the_nearest_right_word(line: str, words: list[str]) -> None:
    refused(calling(*line.split()), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "segments.k=" + "9" * 5000], "'segments.k'"),
        (["--set", "segments.k=" + "[" * 5000], "'segments.k'"),
        (["--set", "mlp.learning_rate=1e400"], "'mlp.learning_rate'"),
        (["--k", "9" * 5000], "'evaluation.k'"),
        (["--k", "9" * 30], "'evaluation.k'"),
        (["--seed", "9" * 5000], "'seed'"),
        (["--memory-budget", "9" * 500 + "GB"], "more than any GPU has"),
        (["--memory-budget", "99999999TB"], "more than any GPU has"),
        (["--memory-budget", "8 elephants"], "not a size"),
    ],
)
def test_a_huge_value_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    refused(calling("run", *options, "--out", tmp_path / "run"), words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "run --preset tiny --config ~/none",
        "run --dataset events --data ~/none --out OUT",
        "check ~/none",
        "compare ~/none ~/none",
        "export ~/none --out OUT",
        "refresh ~/none",
        "recommend ~/none --users USERS --out OUT.csv",
        "recommend none --users ~/none --out OUT.csv",
        "recommend none --users USERS --interactions ~/none --out OUT.csv",
        "data synthetic --preset tiny --out ~/file/none",
    ],
)
def test_a_tilde_is_a_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    (tmp_path / "users.csv").write_text("user_id\n1\n")
    line = line.replace("OUT", str(tmp_path / "out")).replace("USERS", str(tmp_path / "users.csv"))
    result = calling(*line.split())
    assert result.status == 2
    assert str(tmp_path / ("file" if "~/file" in line else "none")) in result.out + result.err
    nobody = calling(*line.replace("~/", "~nosuchuser/").split())
    assert nobody.status == 2
    assert "no home directory is known" in nobody.err


LONG = "x" * 400


@pytest.mark.parametrize(
    "line",
    [
        f"compare {LONG} {LONG}",
        f"data synthetic --out {LONG}",
        f"data deezer-layout --out {LONG}",
        f"recommend {LONG} --users {LONG} --out x.csv",
        f"run --dataset events --data {LONG} --out OUT",
    ],
)
def test_an_error_of_the_system_is_one_line(tmp_path: Path, line: str) -> None:
    refused(calling(*line.replace("OUT", str(tmp_path / "out")).split()), LONG)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["data synthetic", "data deezer-layout"])
def test_tables_in_a_place_whose_name_is_not_utf8(tmp_path: Path, line: str) -> None:
    place = tmp_path / os.fsdecode(b"r\xff\xe9")
    made = calling(*line.split(), "--preset", "tiny", "--out", place)
    assert (made.status, made.err) == (0, "")
    assert len(list(place.iterdir())) == len(made.out.splitlines())
    if line == "data synthetic":
        checked = calling("check", place, "--set", "preset=tiny")
        assert (checked.status, checked.err) == (0, "")


def test_an_error_of_the_system_is_a_problem_that_check_lists() -> None:
    result = calling("check", LONG)
    assert (result.status, result.err) == (2, "")
    heading, problem = result.out.splitlines()
    assert heading == "1 problem"
    assert f"{LONG} cannot be read" in problem


def test_bench_passes_its_arguments_and_status_on() -> None:
    listed = calling("bench", "list")
    assert listed.status == 0
    assert any(line.startswith("als-") for line in listed.out.splitlines())
    helped = calling("bench", "--help")
    assert helped.status == 0
    assert "python -m bench" in helped.out
    assert calling("bench", "nonsense").status == 2


def test_bench_without_a_checkout_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(calling("bench", "list"), "not installed", "checkout")


# -- interrupted -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["data synthetic", "data deezer-layout"])
def test_an_interrupted_command_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    def interrupted(handle: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("os.fsync", interrupted)
    # A background job of a shell, as these tests may be, ignores Ctrl-C, and so would the command.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = calling(*line.split(), "--preset", "tiny", "--out", tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, former)
    assert (result.status, result.err) == (130, "interrupted\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# -- the bars of a terminal --------------------------------------------------------------------


def test_bars_stand_on_the_terminal_and_lines_go_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--space", "tt-svd", "--strategies", "popularity", "--out", str(tmp_path / "run"))
    terminal, end = pty.openpty()
    shown: list[bytes] = []

    def look() -> None:
        with suppress(OSError):  # what Linux answers once the other end is closed
            while part := os.read(terminal, 65536):
                shown.append(part)

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    looking = threading.Thread(target=look)
    looking.start()
    with (
        (tmp_path / "lines").open("w") as lines,
        os.fdopen(end, "w") as err,
        redirect_stdout(lines),
        redirect_stderr(err),
    ):
        status = main(["run", *synthetic(), *few])
    looking.join()
    os.close(terminal)
    assert status == 0
    text = b"".join(shown).decode()
    assert "all stages" in text
    assert "tt-svd/network" in text
    assert "left" in text
    written = (tmp_path / "lines").read_text()
    assert "[ 1/" in written
    assert not {"\x1b", "\r"} & {*written}


def test_the_time_left_is_that_of_the_stages_so_far() -> None:
    assert seconds_left([], elapsed=3.0, share=0.0, left=8) is None
    assert seconds_left([], elapsed=3.0, share=0.5, left=2) == pytest.approx(9.0)
    assert seconds_left([4.0, 6.0], elapsed=0.0, share=0.0, left=3) == pytest.approx(15.0)


# -- a lack of memory ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [MemoryError(), pa.ArrowMemoryError("malloc of size 9"), RuntimeError("can't allocate memory")],
)
@pytest.mark.parametrize(
    ("line", "work"),
    [
        ("run --preset tiny --engine cpu --out OUT", "gpu_coldstart.run.run"),
        ("data synthetic --out OUT", "gpu_coldstart.datasets.synthetic.generate.generate"),
        ("recommend b --users USERS --out OUT.csv", "gpu_coldstart.coldstart.ColdStart.load"),
    ],
)
def test_a_lack_of_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, work: str, error: Exception
) -> None:
    def lacking(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(work, lacking)
    users = tmp_path / "users.csv"
    users.write_text("user_id\n1\n")
    line = line.replace("OUT", str(tmp_path / "out")).replace("USERS", str(users))
    remedy = "fewer users" if line.startswith("recommend") else "smaller preset"
    refused(calling(*line.split()), "not enough memory", remedy)


@pytest.mark.parametrize(
    "line",
    [
        "run --preset tiny --out OUT",
        "check OUT",
        "compare OUT OUT",
        "recommend OUT --users OUT --out OUT.csv",
        "data synthetic --out OUT",
        "data deezer-layout --out OUT",
        "bench list",
    ],
)
def test_an_address_space_too_small_for_the_libraries_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (5 << 29, 5 << 29))
    result = calling(*line.replace("OUT", str(tmp_path / "out")).split())
    refused(result, "limited to 2.5 GB", "2 threads need 3.2 GB", "ulimit -v", "OMP_NUM_THREADS")
    assert not list(tmp_path.iterdir())


def test_a_small_address_space_is_refused_before_anything_is_imported() -> None:
    command = f"ulimit -v 300000; exec {sys.executable} -m gpu_coldstart.run --preset tiny"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    refused(Result(done.returncode, done.stdout, done.stderr), "limited to 0.3 GB")


def test_another_runtime_error_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("gpu_coldstart.datasets.synthetic.generate.generate", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        calling("data", "synthetic", "--out", tmp_path / "out")


def test_a_notebooks_way_to_show_figures_is_not_the_commands() -> None:
    """Matplotlib cannot be imported with one that it does not know here."""
    code = "import sys; from gpu_coldstart.cli.main import main; main(); import matplotlib"
    command = [sys.executable, "-c", code, "--version"]
    environment = os.environ | {"MPLBACKEND": "of-another-environment"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
