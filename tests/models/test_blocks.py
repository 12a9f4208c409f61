"""The layer that skips null blocks, against PyTorch's own layer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from gpu_coldstart.config.components import MlpConfig
from gpu_coldstart.engine import choose
from gpu_coldstart.engine.cpu import blocks
from gpu_coldstart.engine.cpu.blocks import BlockLinear
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import Mlp, train

OUTPUTS = 5


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    """Vectors whose blocks are there for all rows, some or none; and the width of a block."""
    n, count, block, left = (
        draw(st.integers(least, most)) for least, most in ((1, 12), (0, 6), (1, 4), (0, 3))
    )
    shares = draw(st.lists(st.sampled_from([0, 0.3, 0.7, 1]), min_size=count, max_size=count))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    there = rng.random((n, count, 1)) < np.array(shares)[:, None]
    values = (rng.normal(size=(n, count, block)) * there).reshape(n, -1)
    vectors = np.concatenate([values, rng.normal(size=(n, left))], axis=1)
    # One column at least: PyTorch warns of a layer without weights.
    vectors = vectors if vectors.shape[1] else np.zeros((n, 1))
    return torch.from_numpy(vectors.astype(np.float32)), block


def layers(inputs: int, block: int) -> tuple[nn.Linear, BlockLinear]:
    """Both layers, made with the same seed."""
    torch.manual_seed(3)
    plain = nn.Linear(inputs, OUTPUTS)
    torch.manual_seed(3)
    return plain, BlockLinear(inputs, OUTPUTS, block=block)


def passed(
    layer: nn.Linear, vectors: torch.Tensor, *, of_vectors: bool = False
) -> list[torch.Tensor | None]:
    """Output, and the gradients of weight, bias and input."""
    given = vectors.clone().requires_grad_(of_vectors)
    found = layer(given)
    loss = (found * torch.arange(1.0, 1 + found.numel()).view(found.shape).cos()).sum()
    loss.backward()
    return [found.detach(), layer.weight.grad, layer.bias.grad, given.grad]


def assert_same(ones: list[torch.Tensor | None], others: list[torch.Tensor | None]) -> None:
    for one, other in zip(ones, others, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)


# -- the layer -------------------------------------------------------------------------------------


@given(batches(), st.booleans())
def test_it_is_a_linear_layer(batch: tuple[torch.Tensor, int], of_vectors: bool) -> None:
    vectors, block = batch
    plain, ours = layers(vectors.shape[1], block)
    wanted = passed(plain, vectors, of_vectors=of_vectors)
    assert_same(passed(ours, vectors, of_vectors=of_vectors), wanted)


@given(batches(), st.booleans())
def test_it_rounds_factors_where_it_is_told(
    batch: tuple[torch.Tensor, int], rounded_before: bool
) -> None:
    """Against products of the rounded factors in double precision; each part is rounded again."""
    vectors, block = batch
    ours = layers(vectors.shape[1], block)[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(vectors.bfloat16() if rounded_before else vectors)
    assert found.dtype == torch.float32
    gradient = torch.arange(1.0, 1 + found.numel()).view(found.shape).cos()
    found.backward(gradient)
    given, weight, of_outputs = (
        each.detach().bfloat16().double() for each in (vectors, ours.weight, gradient)
    )
    checks = [
        (found.detach() - ours.bias.detach(), given, weight.T),
        (ours.weight.grad, of_outputs.T, given),
    ]
    for value, left, right in checks:
        assert value is not None
        bound = 2.0**-8 * (left.abs() @ right.abs()) + 1e-6
        assert ((value.double() - left @ right).abs() <= bound).all()


@given(batches())
def test_it_multiplies_what_is_there_and_no_more(batch: tuple[torch.Tensor, int]) -> None:
    vectors, block = batch
    n, inputs = vectors.shape
    count = inputs // block
    cut = vectors[:, : count * block].view(n, count, block)
    parts = blocks._parts(vectors, block)
    met, known = np.zeros((n, inputs), np.int64), np.zeros(inputs, np.int64)
    for columns in [*parts.null, *parts.whole]:
        known[columns] += 1
    for columns in parts.whole:
        met[:, columns] += 1
    for columns, rows in parts.chosen:
        known[columns] += 1
        met[rows.numpy(), columns] += 1
    assert (known == 1).all()
    assert met.max(initial=0) <= 1
    assert (met == 1)[vectors.numpy() != 0].all()
    for place, there in enumerate((cut != 0).any(dim=2).T.numpy()):
        if there.mean() < blocks._WHOLE_FROM:
            wanted = np.repeat(there[:, None], block, axis=1)
            assert (met[:, place * block : (place + 1) * block] == wanted).all()


def test_no_users() -> None:
    plain, ours = layers(7, 3)
    assert_same(passed(ours, torch.zeros(0, 7)), passed(plain, torch.zeros(0, 7)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-45, -1e-45])
@pytest.mark.parametrize("rows", [1, 4])
def test_no_number_is_taken_for_null(value: float, rows: int) -> None:
    """Whether the block is chosen for one row of four, or whole."""
    vectors = torch.zeros(4, 7)
    vectors[:rows, 4] = value
    plain, ours = layers(7, 3)
    with torch.no_grad():
        plain.weight[:, 4] = ours.weight[:, 4] = 1e10
        found, wanted = ours(vectors) - ours.bias, plain(vectors) - plain.bias
    assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-5, equal_nan=True)
    chosen = blocks._parts(vectors, 3).chosen
    assert [columns.start for columns, _ in chosen] == ([3] if rows == 1 else [])
    if np.isnan(value):
        assert found[:rows].isnan().all()
        assert not found[rows:].isnan().any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**-133, -(2.0**-133)])
def test_no_rounded_number_is_taken_for_null(value: float) -> None:
    vectors = torch.zeros(4, 6, dtype=torch.bfloat16)
    vectors[0, 1], vectors[2, 4] = -0.0, value
    parts = blocks._parts(vectors, 3)
    assert parts.null == [slice(0, 3)]
    ((columns, rows),) = parts.chosen
    assert columns == slice(3, 6)
    assert rows[0] == 2


@pytest.mark.parametrize(("n", "there", "wanted"), [(99, 20, 32), (99, 64, 64), (31, 24, 31)])
def test_rounded_rows_come_in_few_numbers(n: int, there: int, wanted: int) -> None:
    """Those left over have a null block; there are no more of them than users."""
    vectors = torch.zeros(n, 4, dtype=torch.bfloat16)
    having = torch.randperm(n)[:there]
    vectors[having, 2] = 1
    ((_, rows),) = blocks._parts(vectors, 4).chosen
    assert len(set(rows.tolist())) == len(rows) == wanted
    assert rows[:there].tolist() == sorted(having.tolist())


def test_it_repeats_bit_by_bit() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(300, 8, 16) * (torch.rand(300, 8, 1) < 0.5)
    _, ours = layers(131, 16)
    vectors = torch.cat([vectors.flatten(1), torch.randn(300, 3)], dim=1)
    first = passed(ours, vectors)
    for _ in range(3):
        ours.zero_grad()
        for one, again in zip(first, passed(ours, vectors), strict=True):
            assert one is again is None or (
                one is not None and again is not None and torch.equal(one, again)
            )


# -- the network -----------------------------------------------------------------------------------

D, N_WARM, N_VALIDATION = 4, 60, 20
WIDTH = 20 * D + 3


class Made(Inputs):
    """Input vectors with null blocks."""

    def __init__(self, engine: Any):
        super().__init__(engine)
        rng = np.random.default_rng(0)
        n = N_WARM + N_VALIDATION
        values = rng.normal(size=(n, 20, D)) * (
            rng.random((n, 20, 1)) < np.linspace(0, 1, 20)[:, None]
        )
        self.host = np.concatenate([values.reshape(n, -1), rng.normal(size=(n, 3))], axis=1)
        self.host = self.host.astype(np.float32)
        self.width = WIDTH

    def batch(self, users: Any) -> Any:
        return self.host[users]

    def signal(self, name: str, users: Any) -> Any:
        raise AssertionError("training takes whole vectors")


@pytest.mark.parametrize("hidden", [(16, 8), ()])
def test_the_network_is_the_same_network(hidden: tuple[int, ...]) -> None:
    vectors = torch.from_numpy(Made(choose("cpu")[0]).host)
    models = []
    for layer in (nn.Linear, partial(BlockLinear, block=D)):
        torch.manual_seed(1)
        models.append(Mlp(WIDTH, hidden, D, normalize=True, input_layer=layer))
    plain, skipping = models
    assert isinstance(skipping.layers[0], BlockLinear)
    assert not isinstance(plain.layers[0], BlockLinear)
    assert sum(isinstance(layer, BlockLinear) for layer in skipping.modules()) == 1
    state = skipping.state_dict()
    assert list(plain.state_dict()) == list(state)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, state[name])
    assert_allclose(
        plain(vectors).detach().numpy(), skipping(vectors).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    plain.load_state_dict(state)


def fit(monkeypatch: pytest.MonkeyPatch, *, narrowest: int, optimizer: Any = "adam") -> Any:
    """A network trained where narrower blocks are not skipped, and its first layer in training."""
    engine, layers = choose("cpu")[0], []
    make = engine.input_layer

    def layer(*arguments: int, **named: int) -> nn.Linear:
        layers.append(make(*arguments, **named))
        return layers[-1]

    monkeypatch.setattr(blocks, "NARROWEST", narrowest)
    monkeypatch.setattr(engine, "input_layer", layer)
    inputs = Made(engine)
    rng = np.random.default_rng(2)
    targets = np.tanh(inputs.host @ rng.normal(size=(WIDTH, D))).astype(np.float32)
    users = np.arange(N_WARM + N_VALIDATION)
    network = train(
        engine,
        inputs,
        warm=(users[:N_WARM], targets[:N_WARM]),
        validation=(users[N_WARM:], targets[N_WARM:]),
        options=MlpConfig(hidden=(16, 8), batch_size=16, optimizer=optimizer, learning_rate=0.01),
        epochs=4,
        seed=0,
        progress=lambda *_: None,
    )
    return network, layers[0]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_comes_to_the_same(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    (plain, whole), (skipping, blocked) = (
        fit(monkeypatch, narrowest=narrowest, optimizer=optimizer) for narrowest in (D + 1, D)
    )
    assert type(whole) is nn.Linear
    assert isinstance(blocked, BlockLinear)
    assert blocked.block == D
    # What is kept computes a user alike in any batch.
    assert type(plain.model.layers[0]) is type(skipping.model.layers[0]) is nn.Linear
    assert plain.train_loss[-1] < 0.95 * plain.train_loss[0]
    assert_allclose(plain.train_loss, skipping.train_loss, rtol=1e-4)
    assert_allclose(plain.validation_cosine, skipping.validation_cosine, rtol=1e-3)
