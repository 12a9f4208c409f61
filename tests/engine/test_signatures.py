"""What the kernel loader reads from sources, and the arguments it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu_coldstart.engine.signatures import parse

SOURCE = """
extern "C" __global__ void mix(const int64* indptr /*[n + 1]*/, const float* table /*[any, d]*/,
                               float* out /*[any, any; stride]*/, const int* ids /*[entries]*/,
                               const float* data /*[entries]*/, double* three /*[3]*/,
                               int64 n, int d, int64 stride, float scale) {
}
"""
KERNELS = Path(__file__).parents[2] / "kernels"


def device_array(array: np.ndarray, device: int = 0) -> Any:
    """What the loader looks at in an array of a GPU."""
    return SimpleNamespace(
        dtype=array.dtype,
        shape=array.shape,
        strides=array.strides,
        device=SimpleNamespace(id=device),
    )


def arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of ``mix`` that fit, but for the changes."""
    wide = np.zeros((2, 10), np.float32)
    found: dict[str, Any] = {
        "indptr": device_array(np.zeros(4, np.int64)),
        "table": device_array(np.zeros((9, 5), np.float32)),
        "out": device_array(wide[:, 2:7]),
        "ids": device_array(np.zeros(6, np.int32)),
        "data": device_array(np.zeros(6, np.float32)),
        "three": device_array(np.zeros(3)),
        "n": 3,
        "d": 5,
        "stride": 10,
        "scale": 0.5,
    }
    return found | changes


def bind(**changes: Any) -> tuple[Any, ...]:
    return parse(SOURCE)["mix"].bind(arguments(**changes), 0)


def test_arguments_come_in_the_order_of_the_source_and_in_its_types() -> None:
    given = arguments()
    bound = parse(SOURCE)["mix"].bind(given, 0)
    names = ["indptr", "table", "out", "ids", "data", "three"]
    assert all(one is given[name] for one, name in zip(bound, names, strict=False))
    assert [type(value) for value in bound[6:]] == [np.int64, np.int32, np.int64, np.float32]
    assert bound[6:] == (3, 5, 10, np.float32(0.5))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ids": device_array(np.zeros(6, np.int64))}, "argument 'ids': wanted int32, found int64"),
        ({"table": device_array(np.zeros((9, 5)))}, "'table': wanted float32, found float64"),
        ({"data": np.zeros(6, np.float32).tolist()}, "'data': wanted a device array, found list"),
        ({"n": np.zeros(1)}, "'n': wanted a number, found ndarray"),
        ({"n": True}, "'n': wanted a number, found bool"),
        ({"more": 1}, "argument 'more' is not known"),
    ],
)
def test_wrong_types_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match="kernel mix") as error:
        bind(**changes)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"indptr": device_array(np.zeros(3, np.int64))}, "'indptr': wanted the shape [n + 1] wi"),
        ({"table": device_array(np.zeros((9, 4), np.float32))}, "d = 5, found [9, 4]"),
        ({"table": device_array(np.zeros(5, np.float32))}, "found [5]"),
        ({"data": device_array(np.zeros(5, np.float32))}, "entries = 6, found [5]"),
        ({"three": device_array(np.zeros(4))}, "wanted the shape [3], found [4]"),
        ({"data": device_array(np.zeros(12, np.float32)[::2])}, "wanted a contiguous array, f"),
        ({"table": device_array(np.zeros((5, 9), np.float32).T)}, "'table': wanted a contiguous"),
        ({"stride": 9}, "'out': wanted a contiguous array but for rows stride apart"),
        ({"ids": device_array(np.zeros(6, np.int32), 1)}, "'ids': lies on device 1, wanted 0"),
        ({"d": 2**31}, "argument 'd': 2147483648 is no int32"),
        ({"n": 3.0}, "argument 'n': 3.0 is no int64"),
    ],
)
def test_wrong_shapes_layouts_devices_and_numbers_are_refused(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match="kernel mix") as error:
        bind(**changes)
    assert told in str(error.value)


def test_a_missing_argument_is_named() -> None:
    given = arguments()
    del given["data"]
    with pytest.raises(TypeError, match="kernel mix: argument 'data' is missing"):
        parse(SOURCE)["mix"].bind(given, 0)


def test_empty_arrays_have_no_layout() -> None:
    ids, data = np.zeros(12, np.int32)[:0:2], np.zeros(0, np.float32)
    assert bind(ids=device_array(ids), data=device_array(data))


@pytest.mark.parametrize(
    "parameters",
    ["const short* x /*[n]*/", "float* x", "int n /*[3]*/", "float* x /*[n * 2]*/", "float** x"],
)
def test_a_source_must_keep_the_rules(parameters: str) -> None:
    with pytest.raises(ValueError, match="kernel bad"):
        parse(f'extern "C" __global__ void bad({parameters}) {{')


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.cu")), ids=lambda path: path.stem)
def test_every_source_declares_its_kernels(path: Path) -> None:
    text = path.read_text()
    found = parse(text)
    assert len(found) == text.count("__global__") > 0
    for signature in found.values():
        names = [parameter.name for parameter in signature.parameters]
        assert len(set(names)) == len(names)
