"""Every kernel compiles for every architecture, and keeps to what kernels may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpu_coldstart.engine import signatures
from tests.kernels import nvrtc

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
FILES = sorted(KERNELS.glob("*.cu"))
SOURCES = sorted([*FILES, *KERNELS.glob("*.cuh")])
ARCHITECTURES = (61, 70, 75, 80, 86, 90)
OPTIONS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")
"""The loader's and what CuPy 14 adds to it, but for folders of headers, of which none is read."""

file_parameters = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
FLOAT_ATOMIC = re.compile(r"^.*\b(?:atom|red)\.[\w.:]*\.(?:f16|f16x2|bf16|f32|f64)\b.*$", re.M)


def options_of(source: str) -> list[list[str]]:
    """The compiler's options for each variant."""
    return [
        [f"-D{name}={value}" for name, value in macros.items()]
        for macros in signatures.variants(source)
    ]


def without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)


def test_there_are_kernels() -> None:
    assert FILES


@pytest.mark.parametrize("arch", ARCHITECTURES)
@file_parameters
def test_compiles(file: Path, arch: int) -> None:
    source = signatures.source(file.stem)
    for macros in options_of(source):
        found = nvrtc.compile_kernels(source, file.name, f"sm_{arch}", (*OPTIONS, *macros))
        assert found.output[:4] == b"\x7fELF"


@file_parameters
def test_no_float_atomics(file: Path) -> None:
    """The order of atomic additions is not fixed, so a sum of floats would not repeat."""
    source = signatures.source(file.stem)
    for macros in options_of(source):
        ptx = nvrtc.compile_kernels(source, file.name, "compute_61", (*OPTIONS, *macros))
        assert FLOAT_ATOMIC.findall(ptx.output.decode()) == []


def test_float_atomics_would_be_found() -> None:
    source = """extern "C" __global__ void f(float* x, double* y, int* n) {
        atomicAdd(x, 1.0f);
        x[1] = atomicAdd(x + 2, 1.0f);
        atomicAdd(y, 1.0);
        atomicAdd(n, 1);
    }"""
    ptx = nvrtc.compile_kernels(source, "f.cu", "compute_61").output.decode()
    assert len(FLOAT_ATOMIC.findall(ptx)) == 3


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_kernels_have_plain_names(file: Path) -> None:
    """The loader finds a kernel by the name in the source."""
    source = without_comments(file.read_text())
    assert len(re.findall(r"\b__global__\b", source)) == len(
        re.findall(r'\bextern\s+"C"\s+__global__\b', source)
    )


def test_errors_are_told() -> None:
    with pytest.raises(nvrtc.NvrtcError, match=r'bad\.cu\(2\): error: identifier "y" is undefined'):
        nvrtc.compile_kernels(
            'extern "C"\n__global__ void f(int* x) { *x = y; }', "bad.cu", "sm_61"
        )
    with pytest.raises(nvrtc.NvrtcError, match=r"NVRTC_ERROR_INVALID_OPTION|gpu-architecture"):
        nvrtc.compile_kernels("", "empty.cu", "sm_1")


def test_absence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_folders", list)
    nvrtc._library.cache_clear()
    with pytest.raises(nvrtc.NvrtcError, match=re.escape(nvrtc.MISSING)):
        nvrtc.compile_kernels("", "empty.cu", "sm_61")
