"""The check for machines with a GPU, as far as it runs without one: its steps are small scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import gpu_check
from bench.gpu_check import STEPS, Step, main
from bench.readings import METRICS, kernels

_GPU = """\
#!/bin/sh
case "$*" in
*compute_cap*) echo "NVIDIA Fake 1, 580.1, 8192, 6.1" ;;
*loop-ms*) printf '300, 10\\n900, 30\\n500, 20\\n'; exec sleep 60 ;;
*) echo "NVIDIA Fake 1" ;;
esac
"""

_SLICED = """\
#!/bin/sh
case "$*" in
-L)
  echo "GPU 0: NVIDIA Fake 1 (UUID: GPU-11aa-22)"
  echo "GPU 1: NVIDIA Fake 1 (UUID: GPU-33bb-44)"
  echo "  MIG 1g.5gb      Device  0: (UUID: MIG-55cc-66)"
  echo "  MIG 1g.5gb      Device  1: (UUID: MIG-77dd-88)" ;;
*--id=GPU-33bb-44*compute_cap*) echo "NVIDIA Fake 1, 580.1, [Insufficient Permissions], 8.0" ;;
*--id=GPU-33bb-44*loop-ms*) printf '300, [N/A]\\n[N/A], [N/A]\\n500, [N/A]\\n'; exec sleep 60 ;;
*--id=GPU-33bb-44*) echo "NVIDIA Fake 1" ;;
*) echo "No devices were found"; exit 6 ;;
esac
"""
"""Two GPUs, of which one is sliced."""

_RESULTS = {
    "stages": [
        {"name": "logs", "seconds": 1.5, "peak_gpu_mb": 70.0},
        {"name": "tt-svd", "seconds": 2.0, "peak_gpu_mb": 90.0},
    ]
}

_PASSED = '<testcase name="a"/><testcase name="b"><skipped message="no"/></testcase>'


def script(text: str, **options: Any) -> Step:
    """A step that runs Python; in its text, ``work`` is the folder of that name."""

    def words(work: Path, out: Path, preset: str) -> list[str]:
        start = f"import sys, time; from pathlib import Path; work = Path({str(work)!r})"
        return [sys.executable, "-c", f"{start}\n{text}"]

    return Step("a script", words, **({"limit": 20} | options))


def flow(name: str) -> Step:
    """A step that leaves what a run leaves, once the GPU's memory has been sampled."""
    return script(
        f"run = work / {name!r}; run.mkdir(exist_ok=True)\n"
        "time.sleep(0.3)\n"
        f"(run / 'results.json').write_text({json.dumps(_RESULTS)!r})\n"
        "with (work / 'done').open('a') as file: file.write('flow ')"
    )


def reported(name: str, cases: str) -> Step:
    """A step that reports tests."""
    return script(f"(work / '{name}.xml').write_text('<testsuite>{cases}</testsuite>')")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU, whose steps are harmless."""
    (tmp_path / "nvidia-smi").write_text(_GPU)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("WORK", str(tmp_path / "work"))
    monkeypatch.setattr(gpu_check, "NEEDED", ("json",))
    steps = {
        "flow": flow("flow"),
        "broken": script("print('the last line'); sys.exit(3)"),
        "slow": script("time.sleep(60)", limit=1),
        "tests": reported("tests", _PASSED),
        "empty": reported("empty", '<testcase><skipped message="no card"/></testcase>'),
        "absent": Step("of another machine", lambda *_: ["no-such-program"], limit=1),
        "after": script("print(1)", needs="flow"),
        "asked": script("print(2)", asked=True),
    }
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    return tmp_path


def written(place: Path) -> Any:
    """The newest JSON file, and its steps by name."""
    paths = sorted((place / "out").glob("*-nvidia-fake-1*.json"), key=lambda p: p.stat().st_mtime)
    content = json.loads(paths[-1].read_text())
    return content, {step["name"]: step for step in content["steps"]}


def test_a_failure_is_written_down_and_the_next_step_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--steps", ",".join(gpu_check.STEPS)]) == 1
    assert "failed: broken, slow, empty; written to" in capsys.readouterr().out
    content, steps = written(place)
    assert content["passed"] is False
    assert content["environment"]["gpu_memory_mb"] == 8192
    assert content["environment"]["compute_capability"] == "6.1"
    assert steps["broken"]["reason"] == "exit status 3"
    assert steps["broken"]["end_of_log"] == ["the last line"]
    assert steps["slow"]["reason"] == "it was not done after 1 s"
    assert steps["tests"]["tests"]["passed"] == steps["tests"]["tests"]["skipped"] == 1
    assert steps["empty"]["reason"] == "no test ran: why_skipped tells why"
    assert steps["absent"]["status"] == "skipped"
    assert steps["after"]["status"] == steps["asked"]["status"] == "passed"
    assert (place / "out" / "logs" / "after.log").read_text() == "1\n"
    found = steps["flow"]["flow"]
    assert found["seconds_in_stages"] == 3.5
    assert found["peak_gpu_mb_of_stages"] == 90
    assert found["whole_card"] == {
        "samples": 3,
        "before_mb": 300,
        "peak_mb": 900,
        "mean_utilisation_percent": 20.0,
    }


@pytest.mark.parametrize(
    "name", ["MIG-77dd-88", "MIG-77dd-88,MIG-55cc-66", "GPU-33", "GPU-33bb-44"]
)
def test_a_slice_of_a_gpu(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """nvidia-smi takes the UUID of a whole GPU alone, and tells less of one that is sliced."""
    (place / "nvidia-smi").write_text(_SLICED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    assert main(["--steps", "flow"]) == 0
    content, steps = written(place)
    assert content["environment"]["gpu"] == "NVIDIA Fake 1"
    assert content["environment"]["gpu_memory_mb"] is None
    assert steps["flow"]["flow"]["whole_card"] == {
        "samples": 2,
        "before_mb": 300,
        "peak_mb": 500,
        "mean_utilisation_percent": None,
    }


def test_a_gpu_that_is_not_there(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "nvidia-smi").write_text(_SLICED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-99")
    assert main([]) == 2
    assert "finds no NVIDIA GPU here, or none called MIG-99: run" in capsys.readouterr().err


def test_what_passed_is_not_done_again_and_what_is_needed_is(place: Path) -> None:
    assert main(["--steps", "after"]) == 0
    assert main(["--steps", "after,asked"]) == 0
    assert (place / "work" / "done").read_text() == "flow "
    assert list(written(place)[1]) == ["flow", "after", "asked"]


def test_sanitizers_are_only_run_where_they_are_named() -> None:
    assert {name for name in STEPS if name not in gpu_check.chosen(None)} == {
        "memcheck",
        "racecheck",
    }


def test_a_step_that_is_not_known(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--steps", "flow,fast"])
    assert "no step is called fast: use some of flow, broken" in capsys.readouterr().err


def test_a_missing_package_is_named_before_anything_is_done(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "NEEDED", ("json", "no_such_package"))
    assert main([]) == 2
    assert f"error: {sys.executable} lacks no_such_package: pip install" in capsys.readouterr().err
    assert not (place / "out").exists()


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    """By the command itself, with an nvidia-smi that fails."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(tmp_path / "out")}
    given["CUDA_VISIBLE_DEVICES"] = "0"
    done = subprocess.run(
        ["bash", Path(__file__).parents[1] / "bench" / "gpu_check.sh"],
        env=os.environ | given | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: nvidia-smi finds no NVIDIA GPU here, or none called 0: "
        "run this on a machine that has one, with its driver\n"
    )
    assert not (tmp_path / "out").exists()


def test_kernels_are_added_up_from_the_profilers_table() -> None:
    head = ["ID", "Kernel Name", *METRICS]
    rows = [
        head,
        ["", "", "ns", "byte", "%", "%"],
        ["0", "pool(const long *, int)", "1,000", "5e3", "80", "10"],
        ["1", "pmi(int)", "7", "8", "9", "10"],
        ["2", "pool(const long *, int)", "3000", "7000", "40", "30"],
    ]
    report = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    found = kernels(f"words of the run\n{report}\n")
    assert found["pmi"]["launches"] == 1
    assert found["pool"] == {
        "launches": 2,
        "ns": 4000,
        "bytes": 12000,
        "memory_percent": 50,
        "arithmetic_percent": 25,
    }
