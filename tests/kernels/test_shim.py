"""The host's stand-in for CUDA: computes what CUDA would, and finds what CUDA would not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_array_equal

from tests.kernels.host import HostKernel, HostModule, KernelError, Order
from tests.kernels.memory import POISON

FULL = "0xffffffffu"
SHAPES = [(1, 32), (1, 64), (3, 96), (7, 256), (2, 1024)]


def kernel(
    parameters: str, body: str, *options: str, before: str = "", order: Order = "forward"
) -> HostKernel:
    """A kernel named ``f``."""
    code = f'{before}\nextern "C" __global__ void f({parameters}) {{\n{body}\n}}\n'
    module = HostModule(code, options)
    module.order = order
    return module.get_function("f")


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def zeros(n: int, dtype: Any = np.int32) -> npt.NDArray[Any]:
    return np.zeros(n, dtype=dtype)


# -- what CUDA does --------------------------------------------------------------------------------


@pytest.mark.parametrize(("grid", "block"), SHAPES)
@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_grid_stride(grid: int, block: int, order: Order) -> None:
    f = kernel(
        "const float* x, float* out, long long n",
        """const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
        for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
            out[i] = __fmul_rn(2.0f, x[i]);""",
        order=order,
    )
    x = floats(5000)
    out = np.full_like(x, np.nan)
    f((grid,), (block,), (x, out, np.int64(len(x))))
    assert_array_equal(out, 2 * x)


@pytest.mark.parametrize(("grid", "block"), SHAPES)
@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_block_reduction_in_shared_memory(grid: int, block: int, order: Order) -> None:
    f = kernel(
        "const int* x, int* out",
        """__shared__ int sums[1024];
        sums[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
        for (int n = blockDim.x; n > 1; n = (n + 1) / 2) {
            __syncthreads();
            if (threadIdx.x < n / 2) sums[threadIdx.x] += sums[threadIdx.x + (n + 1) / 2];
        }
        if (threadIdx.x == 0) out[blockIdx.x] = sums[0];""",
        order=order,
    )
    x = np.arange(grid * block, dtype=np.int32)
    out = zeros(grid)
    f((grid,), (block,), (x, out))
    assert_array_equal(out, x.reshape(grid, block).sum(axis=1))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_warp_reduction(dtype: str) -> None:
    cpp = {"int": "int", "uint": "unsigned", "float": "float"}[dtype.rstrip("0123456789")]
    if dtype.endswith("64"):
        cpp = "double" if cpp == "float" else f"{cpp} long long"
    f = kernel(
        f"const {cpp}* x, {cpp}* out",
        f"""{cpp} sum = x[threadIdx.x], other = sum;
        for (int d = 16; d > 0; d /= 2) sum += __shfl_down_sync({FULL}, sum, d);
        for (int d = 16; d > 0; d /= 2) other += __shfl_xor_sync({FULL}, other, d);
        if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = sum;
        out[2 + threadIdx.x] = other;""",
    )
    x = np.arange(64).astype(dtype)
    out = zeros(66, dtype)
    f((1,), (64,), (x, out))
    sums = x.reshape(2, 32).sum(axis=1)
    assert_array_equal(out, np.concatenate([sums, sums.repeat(32)]).astype(dtype))


@pytest.mark.parametrize("width", [4, 16, 32])
def test_shuffles_within_a_width(width: int) -> None:
    f = kernel(
        "int* out, int width",
        f"""const int lane = threadIdx.x % 32;
        out[threadIdx.x] = __shfl_sync({FULL}, lane, 5, width);
        out[64 + threadIdx.x] = __shfl_up_sync({FULL}, lane, 3, width);
        out[128 + threadIdx.x] = __shfl_down_sync({FULL}, lane, 3, width);
        out[192 + threadIdx.x] = __shfl_xor_sync({FULL}, lane, 5, width);""",
    )
    out = zeros(256)
    f((1,), (64,), (out, np.int32(width)))
    lane = np.arange(64) % 32
    begin = lane - lane % width
    end = begin + width
    assert_array_equal(out[:64], begin + 5 % width)
    assert_array_equal(out[64:128], np.where(lane - 3 >= begin, lane - 3, lane))
    assert_array_equal(out[128:192], np.where(lane + 3 < end, lane + 3, lane))
    assert_array_equal(out[192:], np.where(lane ^ 5 < end, lane ^ 5, lane))


def test_votes_of_warps_and_parts_of_them() -> None:
    f = kernel(
        "unsigned* out",
        f"""const int lane = threadIdx.x % 32;
        const unsigned ballot = __ballot_sync({FULL}, lane % 3 == 0);
        const int any = __any_sync({FULL}, threadIdx.x == 40);
        const int all = __all_sync({FULL}, threadIdx.x < 32);
        unsigned part = 0;
        if (lane < 7) part = __ballot_sync(0x7fu, lane > 3); else __syncwarp(~0x7fu);
        __syncwarp();
        out[threadIdx.x] = ballot;
        out[64 + threadIdx.x] = any * 2 + all;
        out[128 + threadIdx.x] = part;""",
    )
    out = zeros(192, np.uint32)
    f((1,), (64,), (out,))
    assert set(out[:64]) == {sum(1 << lane for lane in range(0, 32, 3))}
    assert_array_equal(out[64:128], [1] * 32 + [2] * 32)
    assert_array_equal(out[128:], ([0b1110000] * 7 + [0] * 25) * 2)


def test_votes_of_blocks() -> None:
    f = kernel(
        "int* out",
        """out[threadIdx.x] = __syncthreads_count(threadIdx.x % 3 == 0);
        out[96 + threadIdx.x] = __syncthreads_or(threadIdx.x == 95);
        out[192 + threadIdx.x] = __syncthreads_and(threadIdx.x != 95);""",
    )
    out = zeros(288)
    f((1,), (96,), (out,))
    assert_array_equal(out, [32] * 96 + [1] * 96 + [0] * 96)


def test_integer_atomics() -> None:
    f = kernel(
        "int* sum, unsigned* bits, unsigned long long* big, int* extremes",
        """const int i = threadIdx.x;
        atomicAdd(sum, i);
        atomicOr(bits, 1u << i % 32);
        atomicAdd(big, 1ull << 33);
        atomicMax(extremes, i);
        atomicMin(extremes + 1, -i);""",
    )
    sums, bits, big, extremes = zeros(1), zeros(1, np.uint32), zeros(1, np.uint64), zeros(2)
    f((1,), (64,), (sums, bits, big, extremes))
    assert (sums[0], bits[0], big[0]) == (64 * 63 // 2, 0xFFFFFFFF, 64 << 33)
    assert_array_equal(extremes, [63, -63])


def test_bits_and_rounding() -> None:
    f = kernel(
        "int* out, float* real, float x",
        """out[0] = __popc(0xf0f0u) + __popcll(1ull << 40);
        out[1] = __ffs(8);
        out[2] = __clz(1) * 100 + __clzll(1);
        out[3] = __float_as_int(x);
        out[4] = min(3, -2) * 10 + max(1, 2);
        out[5] = __clz(0) + __ffs(0);
        real[0] = __fmaf_rn(x, x, -1.0f);
        real[1] = x * x - 1.0f;
        real[2] = __int_as_float(0x40490fdb);
        const float4 four = make_float4(1, 2, 3, x);
        real[3] = four.x + four.w + fmaxf(four.y, four.z);""",
    )
    out, real, x = zeros(6), zeros(4, np.float32), np.float32(1 + 2**-12)
    f((1,), (1,), (out, real, x))
    assert list(out) == [9, 4, 3163, int(x.view(np.int32)), -18, 32]
    assert real[0] == float(x) ** 2 - 1  # exact: one rounding
    assert real[1] == x * x - np.float32(1)  # two roundings
    assert real[0] != real[1]
    assert_array_equal(real[2:], np.array([np.pi, 4 + x], dtype=np.float32))


def test_dynamic_shared_memory_and_a_header(tmp_path: Path) -> None:
    (tmp_path / "common.cuh").write_text("#pragma once\ntypedef long long int64;\n")
    f = kernel(
        "int64* out",
        """DYNAMIC_SHARED(int64, places);
        places[threadIdx.x] = SCALE * threadIdx.x;
        __syncthreads();
        out[threadIdx.x] = places[blockDim.x - 1 - threadIdx.x];""",
        *("--std=c++17", f"-I{tmp_path}", "-DSCALE=3"),
        before='#include "common.cuh"',
    )
    out = zeros(64, np.int64)
    f((1,), (64,), (out,), shared_mem=8 * 64)
    assert_array_equal(out, 3 * np.arange(63, -1, -1))
    with pytest.raises(KernelError, match="invalid memory access"):
        f((1,), (64,), (out,), shared_mem=8 * 62)


def test_without_the_hand_written_switch() -> None:
    f = kernel(
        "int* out",
        f"""out[threadIdx.x] = __shfl_xor_sync({FULL}, threadIdx.x, 1);
        __syncthreads();
        if (threadIdx.x == 0) out[0] += out[33];""",
        "-DSHIM_UCONTEXT",
    )
    out = zeros(64)
    f((2,), (64,), (out,))
    assert_array_equal(out, [33, *(i ^ 1 for i in range(1, 64))])


def test_one_launch_shape_for_all() -> None:
    module = HostModule(
        'extern "C" __global__ void f(int* out) {'
        "DYNAMIC_SHARED(int, all); all[threadIdx.x] = 1;"
        "if (threadIdx.x == 0) out[blockIdx.x] = blockDim.x; }"
    )
    module.launch_shape = (3, 64)
    out = zeros(8)
    module.get_function("f")((8,), (32,), (out,), shared_mem=4 * 32)
    assert_array_equal(out, [64] * 3 + [0] * 5)


# -- errors of kernels -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if (threadIdx.x < 40) __syncthreads();", "__syncthreads .kernel.cu:3.*finished"),
        (
            "if (threadIdx.x < 40) __syncthreads();\nelse __syncthreads();",
            "waits at __syncthreads .kernel.cu:[34].*waits at __syncthreads .kernel.cu:[34]",
        ),
        (f"if (threadIdx.x > 3) __shfl_sync({FULL}, 1, 0);", "__shfl_sync.*finished"),
        (f"if (threadIdx.x > 3) return;\n__ballot_sync({FULL}, 1);", "__ballot_sync.*finished"),
        (
            f"if (threadIdx.x > 3) __syncwarp({FULL}); else __syncthreads();",
            "__syncwarp.*__syncthreads",
        ),
        (
            f"if (threadIdx.x > 3) __any_sync({FULL}, 1);\nelse __any_sync({FULL}, 1);",
            "__any_sync .kernel.cu:[34].*__any_sync .kernel.cu:[34]",
        ),
        ("if (threadIdx.x == 9) __syncwarp(1u);", "leaves out the calling thread"),
    ],
)
def test_divergent_barrier_is_detected(body: str, message: str, order: Order) -> None:
    f = kernel("int* out", body + "\nout[0] = 1;", order=order)
    out = zeros(1)
    with pytest.raises(KernelError, match=f"kernel f: .*{message}.*block 0"):
        f((1,), (64,), (out,))
    assert out[0] == 0


def test_lanes_that_do_not_exist() -> None:
    f = kernel("int* out", f"out[0] = __any_sync({FULL}, 1);")
    with pytest.raises(KernelError, match=r"thread 32 waits .*, but thread 48 does not exist"):
        f((1,), (48,), (zeros(1),))


@pytest.mark.parametrize("at", [-70, -1, 100, 103, 104, 5000])
@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_write_out_of_bounds_is_detected(at: int, order: Order) -> None:
    f = kernel("int n, int* x, const int* y", "x[n] = 1;", order=order)
    x, y = zeros(100), zeros(100)
    with pytest.raises(KernelError, match=r"argument 1 'x' of kernel f|past the end of argument 1"):
        f((1,), (1,), (np.int32(at), x, y))
    assert_array_equal(x, y)


def test_write_between_rows_is_detected() -> None:
    f = kernel("float* x, int at", "x[at] = 5;")
    wide = np.ones((4, 10), dtype=np.float32)
    f((1,), (1,), (wide[:, 2:8], np.int32(13)))
    assert wide[1, 5] == 5
    assert wide.sum() == 44
    with pytest.raises(KernelError, match=r"'x' of kernel f was written .* between the rows, 24 b"):
        f((1,), (1,), (wide[:, 2:8], np.int32(6)))


def test_read_out_of_bounds() -> None:
    f = kernel("const int* x, int* out, int n", "out[0] = x[n];")
    x, out = zeros(256), zeros(1)
    f((1,), (1,), (x, out, np.int32(-1)))
    assert out[0] == POISON
    with pytest.raises(
        KernelError, match=r"0x.*thread 0.*: 0 bytes past the end of argument 0 'x'"
    ):
        f((1,), (1,), (x, out, np.int32(256)))
    with pytest.raises(KernelError, match="past the end of argument 0 'x'"):
        f((1,), (1,), (zeros(0), out, np.int32(0)))


def test_wild_pointers_end_the_launch_only() -> None:
    f = kernel("int* out", "if (threadIdx.x == 7) *reinterpret_cast<int*>(out[0]) = 1;")
    for _ in range(3):
        with pytest.raises(KernelError, match=r"kernel f: .*block 0, thread 7"):
            f((1,), (32,), (zeros(1),))


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("memory", ["static", "dynamic"])
def test_shared_memory_is_poisoned_before_each_block(memory: str, template: bool) -> None:
    declared = "__shared__ T x[8];" if memory == "static" else "DYNAMIC_SHARED(T, x);"
    before = f"__device__ T get(int i) {{ {declared} const T old = x[i]; x[i] = 0; return old; }}"
    before = f"template <class T> {before}" if template else before.replace("T ", "float ")
    call = "get<float>(0)" if template else "get(0)"
    f = kernel("float* out", f"out[blockIdx.x] = {call};", before=before.replace("(T,", "(float,"))
    out = zeros(3, np.float32)
    f((3,), (1,), (out,), shared_mem=32)
    assert np.isnan(out).all()


def rotated(order: Order, barrier: str) -> npt.NDArray[Any]:
    f = kernel(
        "int* out",
        f"""__shared__ int all[64];
        all[threadIdx.x] = 0;
        __syncthreads();
        all[threadIdx.x] = threadIdx.x;
        {barrier}
        out[threadIdx.x] = all[(threadIdx.x + 1) % 64];""",
        order=order,
    )
    out = zeros(64)
    f((1,), (64,), (out,))
    return out


def test_order_shows_a_missing_barrier() -> None:
    assert_array_equal(
        rotated("forward", "__syncthreads();"), rotated("reverse", "__syncthreads();")
    )
    assert (rotated("forward", "") != rotated("reverse", "")).any()
    # One warp reads what the other has written, which a barrier of a warp does not order.
    assert (rotated("forward", "__syncwarp();") != rotated("reverse", "__syncwarp();")).any()


def test_order_shows_dependence_between_blocks() -> None:
    results = []
    for order in ("forward", "reverse"):
        f = kernel("int* out", "out[atomicAdd(out, 1) + 1] = blockIdx.x;", order=order)
        out = zeros(4)
        f((3,), (1,), (out,))
        results.append(list(out))
    assert results == [[3, 0, 1, 2], [3, 2, 1, 0]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("__shared__ int x[4]; x[n] = 1; out[0] = x[0];", "index out of the bounds of an array"),
        ("out[0] = 2000000000 + 100000000 * n;", r"signed overflow of [+*] \(kernel.cu:3\)"),
        ("out[0] = 7 / (n - 4);", "integer division by zero"),
        ("out[0] = 1 << (n * 8);", "shift"),
        ("out[0] = static_cast<int>(n * 1e9);", "beyond the integer's range"),
        ("*reinterpret_cast<float4*>(out + 1) = make_float4(0, 0, 0, 0);", "misaligned"),
    ],
)
def test_undefined_behaviour_is_detected(body: str, message: str) -> None:
    f = kernel("int* out, int n", body)
    with pytest.raises(KernelError, match=f"{message}.*block 0, thread 0"):
        f((1,), (1,), (zeros(16), np.int32(4)))


def test_sanitizing_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostModule, "sanitize", False)
    f = kernel("int* out, int n", "out[0] = 2000000000 + 100000000 * n;")
    out = zeros(1)
    f((1,), (1,), (out, np.int32(4)))
    assert out[0] == np.int64(2_400_000_000).astype(np.int32)
