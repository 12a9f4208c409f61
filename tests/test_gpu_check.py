"""The script for machines with a GPU, as far as it runs without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

_NO_GPU = "#!/bin/sh\nexit 9\n"

_GPU = """\
#!/bin/sh
case "$*" in
*compute_cap*) echo "NVIDIA Fake 1, 580.1, 8192, 6.1" ;;
*loop-ms*) printf '300, 10\\n900, 30\\n500, 20\\n'; exec sleep 60 ;;
*) echo "NVIDIA Fake 1" ;;
esac
"""

_PYTHON = """\
#!/bin/sh
case "$*" in
bench/*) exec {python} "$@" ;;
"-m pytest"*) printf '<testsuite>{cases}</testsuite>' >"${{5#--junitxml=}}" ;;
*.datasets*) exit 0 ;;
*--memory-budget*) exit 3 ;;
*) sleep 0.3; mkdir "$WORK/run"; printf '{results}' >"$WORK/run/results.json" ;;
esac
"""

_SANITIZER = """\
#!/bin/sh
[ "$2" = racecheck ] && exit 99
shift 6
exec "$@"
"""

_STAGES = [
    {"name": "logs", "seconds": 1.5, "peak_gpu_mb": 70.0},
    {"name": "tt-svd", "seconds": 2.0, "peak_gpu_mb": 90.0},
]


def check(folder: Path, *options: str, smi: str, cases: str = "") -> tuple[int, str, str]:
    """Run the script with other programs in the place of nvidia-smi and Python."""
    results = json.dumps({"stages": _STAGES})
    programs = {
        "nvidia-smi": smi,
        "compute-sanitizer": _SANITIZER,
        "python-instead": _PYTHON.format(python=sys.executable, cases=cases, results=results),
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    surroundings = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHON": str(folder / "python-instead"),
        "OUT": str(folder / "out"),
        "WORK": str(folder / "work"),
    }
    done = subprocess.run(
        ["bash", ROOT / "bench" / "gpu_check.sh", *options],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def written(folder: Path) -> Any:
    """The one JSON file."""
    (path,) = (folder / "out").iterdir()
    assert path.name.endswith("-nvidia-fake-1.json")
    return json.loads(path.read_text())


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    status, said, error = check(tmp_path, smi=_NO_GPU)
    assert (status, said) == (2, "")
    assert error == (
        "error: nvidia-smi finds no NVIDIA GPU here: "
        "run this on a machine that has one, with its driver\n"
    )
    assert not (tmp_path / "out").exists()


def test_an_option_that_is_not_known(tmp_path: Path) -> None:
    status, _, error = check(tmp_path, "--fast", smi=_GPU)
    assert status == 2
    assert error.startswith("error: option --fast is not known")


def test_a_failure_is_written_down_and_the_next_step_goes_on(tmp_path: Path) -> None:
    cases = '<testcase name="a"/><testcase name="b"><skipped message="no"/></testcase>'
    status, said, _ = check(tmp_path, "--quick", smi=_GPU, cases=cases)
    found = written(tmp_path)
    assert status == 1
    assert "failed: run-below-8GB, racecheck; written to" in said
    assert found["passed"] is False
    steps = {step["name"]: step for step in found["steps"]}
    assert steps["run-below-8GB"]["exit_status"] == 3
    assert steps["run-below-8GB"]["end_of_log"] == []
    for name in ("environment", "tests", "tables", "run", "memcheck"):
        assert steps[name]["status"] == "passed"
    assert "--tool racecheck --error-exitcode 99" in steps["racecheck"]["command"]
    assert found["tests"]["tests"]["passed"] == found["tests"]["tests"]["skipped"] == 1
    assert found["environment"]["gpu_memory_mb"] == 8192
    assert found["environment"]["compute_capability"] == "6.1"
    flow = found["flows"]["run"]
    assert flow["seconds_in_stages"] == 3.5
    assert flow["peak_gpu_mb_of_stages"] == 90
    assert flow["whole_card"] == {
        "samples": 3,
        "before_mb": 300,
        "peak_mb": 900,
        "mean_utilisation_percent": 20.0,
    }


@pytest.mark.parametrize("cases", ["", '<testcase><skipped message="no card"/></testcase>'])
def test_tests_that_are_all_skipped_have_not_passed(tmp_path: Path, cases: str) -> None:
    status, said, _ = check(tmp_path, smi=_GPU, cases=cases)
    assert status == 1
    assert "failed: tests, run-below-8GB, memcheck, racecheck; " in said
    assert written(tmp_path)["tests"]["tests"]["passed"] == 0


def test_tests_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    check(tmp_path, "--skip-tests", smi=_GPU)
    found = written(tmp_path)
    skipped = [step["name"] for step in found["steps"] if step["status"] == "skipped"]
    assert skipped == ["tests", "memcheck", "racecheck"]
