"""Kernels of layers in training, against PyTorch in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from gpu_coldstart.engine.base import HostArray
from tests.kernels.launching import launch

EXAMPLES = settings(max_examples=10)


def numbers(random: np.random.Generator, *shape: int) -> HostArray:
    return random.normal(size=shape).astype(np.float32)


def close(found: HostArray, wanted: torch.Tensor | None) -> None:
    assert wanted is not None
    assert_allclose(found, wanted.detach().numpy(), rtol=2e-5, atol=2e-5)


def double(array: HostArray) -> torch.Tensor:
    return torch.from_numpy(array).double().requires_grad_()


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([2, 31, 32, 70]),
    m=st.sampled_from([1, 8, 19]),
)
@EXAMPLES
def test_rectify_norm(seed: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    before, gradient = numbers(random, 2, n, m)
    offset, weight, bias, running_mean = numbers(random, 4, m)
    running_variance = np.abs(numbers(random, m))
    norm = nn.BatchNorm1d(m, eps=1e-3, momentum=0.3).double()
    norm.load_state_dict(
        {
            "weight": double(weight),
            "bias": double(bias),
            "running_mean": torch.from_numpy(running_mean),
            "running_var": torch.from_numpy(running_variance),
            "num_batches_tracked": torch.tensor(0),
        }
    )
    product, shift = double(before), double(offset)
    wanted = norm(nn.functional.relu(product + shift))
    torch.autograd.backward(wanted, torch.from_numpy(gradient).double())
    out = np.full((n, m), np.nan, np.float32)
    of_batch: dict[str, Any] = {
        name: np.full(m, np.nan, np.float32) for name in ("mean", "inverse")
    }
    launch(
        "rectify_norm",
        written=("before", "running_mean", "running_variance", "out", *of_batch),
        before=before,
        offset=offset,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_variance=running_variance,
        out=out,
        **of_batch,
        n=n,
        m=m,
        momentum=0.3,
        eps=1e-3,
    )
    close(out, wanted)
    close(running_mean, norm.running_mean)
    close(running_variance, norm.running_var)
    back: dict[str, Any] = {
        f"of_{name}": np.full(m, np.nan, np.float32) for name in ("weight", "bias", "offset")
    }
    back["of_before"] = np.full((n, m), np.nan, np.float32)
    launch(
        "rectify_norm",
        "rectify_norm_back",
        written=tuple(back),
        before=before,
        gradient=gradient,
        weight=weight,
        **of_batch,
        **back,
        n=n,
        m=m,
    )
    close(back["of_before"], product.grad)
    for name, value in (("weight", norm.weight), ("bias", norm.bias), ("offset", shift)):
        close(back[f"of_{name}"], value.grad)


@given(seed=st.integers(0, 999), n=st.integers(1, 9), d=st.sampled_from([1, 5, 33, 128]))
@EXAMPLES
def test_unit_length(seed: int, n: int, d: int) -> None:
    random = np.random.default_rng(seed)
    vectors, gradient = numbers(random, n, d), numbers(random, n, d)
    vectors[0] *= 1e-3  # below the least length, so scaled by a constant
    exact = double(vectors)
    wanted = nn.functional.normalize(exact, dim=1, eps=0.1)
    torch.autograd.backward(wanted, torch.from_numpy(gradient).double())
    out, of_vectors = np.full((2, n, d), np.nan, np.float32)
    lengths = np.full(n, np.nan, np.float32)
    launch(
        "unit_length",
        written=("out", "lengths"),
        vectors=vectors,
        out=out,
        lengths=lengths,
        n=n,
        d=d,
        least=0.1,
    )
    close(out, wanted)
    launch(
        "unit_length",
        "unit_length_back",
        written=("of_vectors",),
        scaled=out,
        lengths=lengths,
        gradient=gradient,
        of_vectors=of_vectors,
        n=n,
        d=d,
        least=0.1,
    )
    close(of_vectors, exact.grad)
