"""Names and signatures of what CuPy 14 has: the allow-list of the stand-in.

Read off the real library. A function that is not here does not exist in a rehearsal.
"""

from __future__ import annotations

import inspect

__all__ = ["FUNCTIONS", "LINALG", "METHODS", "UFUNCS", "signature"]

FUNCTIONS = {
    "all": "a, axis=None, out=None, keepdims=False",
    "allclose": "a, b, rtol=1e-05, atol=1e-08, equal_nan=False",
    "amax": "a, axis=None, out=None, keepdims=False",
    "amin": "a, axis=None, out=None, keepdims=False",
    "any": "a, axis=None, out=None, keepdims=False",
    "append": "arr, values, axis=None",
    "arange": "start, stop=None, step=1, dtype=None",
    "argmax": "a, axis=None, dtype=None, out=None, keepdims=False",
    "argmin": "a, axis=None, dtype=None, out=None, keepdims=False",
    "argpartition": "a, kth, axis=-1",
    "argsort": "a, axis=-1, kind=None",
    "argwhere": "a",
    "around": "a, decimals=0, out=None",
    "array": "obj, dtype=None, copy=True, order='K', subok=False, ndmin=0, *, blocking=False",
    "array_equal": "a1, a2, equal_nan=False",
    "array_split": "ary, indices_or_sections, axis=0",
    "asarray": "a, dtype=None, order=None, *, copy=None, blocking=False",
    "ascontiguousarray": "a, dtype=None",
    "asfortranarray": "a, dtype=None",
    "atleast_1d": "*arys",
    "atleast_2d": "*arys",
    "atleast_3d": "*arys",
    "average": "a, axis=None, weights=None, returned=False, *, keepdims=False",
    "bincount": "x, weights=None, minlength=None",
    "broadcast_arrays": "*args",
    "broadcast_to": "array, shape",
    "clip": "a, a_min, a_max, out=None",
    "column_stack": "tup",
    "compress": "condition, a, axis=None, out=None",
    "concatenate": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "copy": "a, order='K'",
    "count_nonzero": "a, axis=None",
    "cumprod": "a, axis=None, dtype=None, out=None",
    "cumsum": "a, axis=None, dtype=None, out=None",
    "diag": "v, k=0",
    "diagonal": "a, offset=0, axis1=0, axis2=1",
    "diff": "a, n=1, axis=-1, prepend=None, append=None",
    "dot": "a, b, out=None",
    "dstack": "tup",
    "einsum": "*operands, **kwargs",
    "empty": "shape, dtype=float, order='C'",
    "empty_like": "prototype, dtype=None, order='K', subok=None, shape=None",
    "expand_dims": "a, axis",
    "eye": "N, M=None, k=0, dtype=float, order='C'",
    "flatnonzero": "a",
    "flip": "a, axis=None",
    "fliplr": "a",
    "flipud": "a",
    "full": "shape, fill_value, dtype=None, order='C'",
    "full_like": "a, fill_value, dtype=None, order='K', subok=None, shape=None",
    "histogram": "x, bins=10, range=None, density=False, weights=None",
    "hstack": "tup, *, dtype=None, casting='same_kind'",
    "indices": "dimensions, dtype=int",
    "inner": "a, b",
    "isclose": "a, b, rtol=1e-05, atol=1e-08, equal_nan=False",
    "isin": "element, test_elements, assume_unique=False, invert=False",
    "lexsort": "keys",
    "linspace": "start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0",
    "matmul": "x1, x2, /, *, dtype=None, out=None",
    "max": "a, axis=None, out=None, keepdims=False",
    "mean": "a, axis=None, dtype=None, out=None, keepdims=False",
    "median": "a, axis=None, out=None, keepdims=False",
    "meshgrid": "*xi, **kwargs",
    "min": "a, axis=None, out=None, keepdims=False",
    "moveaxis": "a, source, destination",
    "nan_to_num": "x, copy=True, nan=0.0, posinf=None, neginf=None",
    "nanmax": "a, axis=None, out=None, keepdims=False",
    "nanmean": "a, axis=None, dtype=None, out=None, keepdims=False",
    "nanmin": "a, axis=None, out=None, keepdims=False",
    "nansum": "a, axis=None, dtype=None, out=None, keepdims=False",
    "nonzero": "a",
    "ones": "shape, dtype=float, order='C'",
    "ones_like": "a, dtype=None, order='K', subok=None, shape=None",
    "outer": "a, b, out=None",
    "partition": "a, kth, axis=-1",
    "percentile": "a, q, axis=None, out=None, method='linear', keepdims=False",
    "prod": "a, axis=None, dtype=None, out=None, keepdims=False",
    "ptp": "a, axis=None, out=None, keepdims=False",
    "quantile": "a, q, axis=None, out=None, method='linear', keepdims=False",
    "ravel": "a, order='C'",
    "repeat": "a, repeats, axis=None",
    "reshape": "a, newshape, order='C', *, copy=None",
    "roll": "a, shift, axis=None",
    "round": "a, decimals=0, out=None",
    "searchsorted": "a, v, side='left', sorter=None",
    "setdiff1d": "ar1, ar2, assume_unique=False",
    "sort": "a, axis=-1, kind=None",
    "split": "ary, indices_or_sections, axis=0",
    "squeeze": "a, axis=None",
    "stack": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "std": "a, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "sum": "a, axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "a, axis1, axis2",
    "take": "a, indices, axis=None, out=None",
    "take_along_axis": "a, indices, axis",
    "tile": "A, reps",
    "trace": "a, offset=0, axis1=0, axis2=1, dtype=None, out=None",
    "transpose": "a, axes=None",
    "tril": "m, k=0",
    "triu": "m, k=0",
    "union1d": "arr1, arr2",
    "unique": "ar, return_index=False, return_inverse=False, return_counts=False, axis=None",
    "unravel_index": "indices, dims, order='C'",
    "var": "a, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "vstack": "tup, *, dtype=None, casting='same_kind'",
    "where": "condition, x=None, y=None",
    "zeros": "shape, dtype=float, order='C'",
    "zeros_like": "a, dtype=None, order='K', subok=None, shape=None",
}
"""Functions of the module, by name."""

METHODS = {
    "all": "self, axis=None, out=None, keepdims=False",
    "any": "self, axis=None, out=None, keepdims=False",
    "argmax": "self, axis=None, out=None, dtype=None, keepdims=False",
    "argmin": "self, axis=None, out=None, dtype=None, keepdims=False",
    "argpartition": "self, kth, axis=-1",
    "argsort": "self, axis=-1, kind=None",
    "astype": "self, dtype, order='K', casting=None, subok=None, copy=True",
    "clip": "self, min=None, max=None, out=None",
    "copy": "self, order='C'",
    "cumprod": "self, axis=None, dtype=None, out=None",
    "cumsum": "self, axis=None, dtype=None, out=None",
    "diagonal": "self, offset=0, axis1=0, axis2=1",
    "dot": "self, b, out=None",
    "fill": "self, value",
    "flatten": "self, order='C'",
    "get": "self, stream=None, order='C', out=None, blocking=True",
    "item": "self",
    "max": "self, axis=None, out=None, keepdims=False",
    "mean": "self, axis=None, dtype=None, out=None, keepdims=False",
    "min": "self, axis=None, out=None, keepdims=False",
    "nonzero": "self",
    "partition": "self, kth, axis=-1",
    "prod": "self, axis=None, dtype=None, out=None, keepdims=None",
    "ravel": "self, order='C'",
    "repeat": "self, repeats, axis=None",
    "reshape": "self, *shape, order='C', copy=None",
    "round": "self, decimals=0, out=None",
    "searchsorted": "self, v, side='left', sorter=None",
    "set": "self, arr, stream=None",
    "sort": "self, axis=-1, kind=None",
    "squeeze": "self, axis=None",
    "std": "self, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "sum": "self, axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "self, axis1, axis2",
    "take": "self, indices, axis=None, out=None",
    "tobytes": "self, order='C'",
    "tolist": "self",
    "trace": "self, offset=0, axis1=0, axis2=1, dtype=None, out=None",
    "transpose": "self, *axes",
    "var": "self, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "view": "self, dtype=None, type=None",
}
"""Methods of an array, by name."""

LINALG = {
    "qr": "a, mode='reduced'",
    "svd": "a, full_matrices=True, compute_uv=True",
    "norm": "x, ord=None, axis=None, keepdims=False",
    "eigh": "a, UPLO='L'",
    "cholesky": "a",
    "solve": "a, b",
}
"""Functions of ``cupy.linalg``."""

_ONE = """
abs absolute arccos arccosh arcsin arcsinh arctan arctanh bitwise_not cbrt ceil conj
conjugate cos cosh deg2rad degrees exp exp2 expm1 fix floor invert isfinite isinf isnan log
log10 log1p log2 logical_not negative positive rad2deg radians reciprocal rint sign sin sinc
sinh sqrt square tan tanh trunc
"""

_TWO = """
add arctan2 bitwise_and bitwise_or bitwise_xor copysign divide equal floor_divide fmax fmin
fmod greater greater_equal hypot left_shift less less_equal logaddexp logaddexp2 logical_and
logical_or logical_xor maximum minimum mod multiply not_equal power remainder right_shift
subtract true_divide
"""

UFUNCS = {**dict.fromkeys(_ONE.split(), 1), **dict.fromkeys(_TWO.split(), 2)}
"""Number of arguments of each elementwise function."""


def signature(text: str) -> inspect.Signature:
    """The signature that an entry of a table tells."""
    return inspect.signature(eval(f"lambda {text}: None"))
