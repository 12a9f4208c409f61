"""The interface of the host's stand-in for CUDA: what it refuses of callers and of sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.build import CompileError
from tests.kernels.host import HostKernel, HostModule
from tests.kernels.test_shim import floats, kernel, zeros

# -- errors of callers -----------------------------------------------------------------------------


@pytest.fixture(name="two")
def kernel_of_two_arguments() -> HostKernel:
    return kernel("const float* x, long long n", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((floats(3),), "takes 2 arguments, not 1"),
        ((floats(3), np.int64(3), np.int64(3)), "takes 2 arguments, not 3"),
        (
            (floats(3).astype(np.float64), np.int64(3)),
            "'x' .*float32 array, not an array of float64",
        ),
        (
            (floats(3), np.int32(3)),
            "argument 1 'n' of kernel f must be a scalar of int64, not a int32",
        ),
        ((floats(3), 3), "scalar of int64, not a int"),
        ((floats(3), zeros(1, np.int64)), "scalar of int64, not an array"),
        ((np.float32(3), np.int64(3)), "float32 array, not a float32"),
        ((None, np.int64(3)), "float32 array, not a NoneType"),
    ],
)
def test_arguments_of_a_wrong_kind(two: HostKernel, args: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        two((1,), (32,), args)


def test_arrays_that_kernels_cannot_take(two: HostKernel) -> None:
    square = floats(4, 4)
    for wrong in (square.T, square[:, ::2], square[::-1], square[0, ::-1]):
        with pytest.raises(ValueError, match="neither contiguous nor made of contiguous rows"):
            two((1,), (32,), (wrong, np.int64(1)))
    for right in (square[1:, 1:], square[1], square.ravel()[3:7], square[:0], floats()):
        two((1,), (32,), (right, np.int64(1)))
    f = kernel("float* x, const float* y, const float* z", "x[0] = y[0] + z[0];")
    with pytest.raises(ValueError, match="argument 1 'y' of kernel f overlaps argument 0 'x'"):
        f((1,), (32,), (square, square[1:], floats(1)))
    f((1,), (32,), (square[0], square[1], square[1]))
    square.flags.writeable = False
    with pytest.raises(ValueError, match="'x' of kernel f is written, but the array is read-only"):
        f((1,), (32,), (square, floats(1), floats(1)))


def test_launches_that_a_gpu_refuses(two: HostKernel) -> None:
    args = (floats(1), np.int64(1))
    for grid, block in [((0,), (32,)), ((1,), (0,)), ((1,), (1056,)), ((2, 2), (32,)), ((), (32,))]:
        with pytest.raises(ValueError, match=r"grid|block"):
            two(grid, block, args)
    with pytest.raises(ValueError, match="dynamic shared memory"):
        two((1,), (32,), args, shared_mem=49153)
    two.max_dynamic_shared_size_bytes = 65536
    two((1,), (32,), args, shared_mem=49153)
    bounded = HostModule('extern "C" __global__ void __launch_bounds__(64) f(int n) {}')
    with pytest.raises(ValueError, match="blocks of 1 to 64 threads, not 96"):
        bounded.get_function("f")((1,), (96,), (np.int32(1),))


# -- compiling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("atomicAdd(x, 1.0f);", "deleted function"),
        ("atomicAdd(reinterpret_cast<double*>(x), 1.0);", "deleted function"),
        ("x[0] = __expf(x[0]);", "__expf"),
        ("float big[20000]; big[int(x[0])] = 1; __syncthreads(); x[0] = big[7];", "frame size"),
        ("x[0] = ;", "kernel.cu:3"),
    ],
)
def test_what_does_not_compile(body: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        kernel("float* x", body)


def test_compiled_once(tmp_path: Path) -> None:
    header = tmp_path / "one.cuh"
    header.write_text("constexpr int ONE = 1;\n")
    code = '#include "one.cuh"\nextern "C" __global__ void f(int* x) { x[0] = ONE + N; }'

    def build(n: int) -> HostModule:
        return HostModule(code=code, options=("-I", str(tmp_path), f"-DN={n}"))

    def run(module: HostModule) -> int:
        out = zeros(1)
        module.get_function("f")((1,), (1,), (out,))
        return int(out[0])

    first = build(1)
    assert first._library is build(1)._library
    assert (run(first), run(build(2))) == (2, 3)
    header.write_text("constexpr int ONE = 10;\n")
    assert (run(first), run(build(1))) == (2, 11)


def test_names_and_options() -> None:
    before = '#define KERNEL(name) extern "C" __global__ void name(float* x, int n)\nKERNEL(g) {}'
    module = HostModule(f"{before}\n// __global__ void h(int n) {{}}\nKERNEL(f) {{}}")
    assert module.names == ("g", "f")
    assert [p.name for p in module.get_function("g").parameters] == ["x", "n"]
    with pytest.raises(KeyError, match="no kernel 'h'"):
        module.get_function("h")
    with pytest.raises(ValueError, match="no option '--use_fast_math'"):
        HostModule("", ("--use_fast_math",))
