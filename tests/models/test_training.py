"""Training: what it sees, what repeats, and what it must leave alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from gpu_coldstart import predicting
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import InputVectors
from gpu_coldstart.models import Mlp, check_batches, mlp
from gpu_coldstart.models.feedforward import feedforward
from gpu_coldstart.predicting import predict
from tests.models.helpers import (
    N_WARM,
    OPTIONS,
    Inputs,
    cosine,
    fit,
    inputs_of,
    targets_of,
    weights,
)


class Watched(Mlp):
    """Notes every pass through the network."""

    passes: list[tuple[bool, bool, int]] = []  # noqa: RUF012 - filled by every instance

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        norms = [layer.training for layer in self.modules() if isinstance(layer, nn.BatchNorm1d)]
        self.passes.append((torch.is_grad_enabled(), all(norms), len(vectors)))
        assert all(norms) or not any(norms)
        return super().forward(vectors)


@pytest.fixture
def passes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool, int]]:
    """(gradients on, batch normalisation in training mode, users) of each pass."""
    monkeypatch.setattr(mlp, "Mlp", Watched)
    monkeypatch.setattr(type(engine), "chained", lambda _, model, parts: model)
    Watched.passes = []
    return Watched.passes


def noting(engine: Engine) -> tuple[InputVectors, list[list[int]]]:
    """Inputs that note the warm users of each batch, and the list of those."""
    met: list[list[int]] = []

    class Noting(Inputs):
        def table(self, users: Array) -> Callable[[Array], Array]:
            rows = super().table(users)
            if len(users) != N_WARM:
                return rows

            def noted(places: Array) -> Array:
                met.append(engine.to_host(users[places]).tolist())
                return rows(places)

            return noted

    return cast("InputVectors", Noting(engine)), met


# -- the loop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_learns(engine: Engine, optimizer: str) -> None:
    options = OPTIONS.replace(
        optimizer=optimizer, learning_rate=0.01 if optimizer == "adam" else 0.2
    )
    network = fit(engine, options, epochs=40)
    assert network.train_loss[-1] < 0.3 * network.train_loss[0]
    assert network.validation_cosine[-1] > network.validation_cosine[0] + 0.1
    assert network.validation_cosine[-1] > 0.6


def test_batch_normalisation_stays_in_training_mode(
    engine: Engine, passes: list[tuple[bool, bool, int]]
) -> None:
    network = fit(engine, epochs=14)
    learning = [(norms, n) for gradients, norms, n in passes if gradients]
    assert len(learning) == 14 * 4
    assert all(norms for norms, _ in learning)
    assert all(not norms for gradients, norms, _ in passes if not gradients)
    assert not network.model.training
    assert int(weights(network)["layers.2.num_batches_tracked"]) == 14 * 4


@pytest.mark.parametrize(
    ("n_warm", "size", "wanted"),
    [
        (50, 16, [2, 16, 16, 16]),
        (49, 16, [16, 16, 17]),
        (48, 16, [16, 16, 16]),
        (17, 16, [17]),
        (16, 16, [16]),
        (5, 16, [5]),
        (3, 2, [3]),
        (50, 500, [50]),
    ],
)
def test_every_user_once_an_epoch_and_never_alone(
    engine: Engine,
    passes: list[tuple[bool, bool, int]],
    n_warm: int,
    size: int,
    wanted: list[int],
) -> None:
    fit(engine, OPTIONS.replace(batch_size=size), epochs=1, n_warm=n_warm)
    assert sorted(n for gradients, _, n in passes if gradients) == wanted


@pytest.mark.parametrize(
    ("n_warm", "size", "wanted"),
    [(50, 16, [16, 16, 16]), (49, 16, [16, 16, 16]), (48, 16, [16, 16, 16]), (16, 16, [16])],
)
def test_the_last_batch_may_be_dropped(
    engine: Engine,
    passes: list[tuple[bool, bool, int]],
    n_warm: int,
    size: int,
    wanted: list[int],
) -> None:
    options = OPTIONS.replace(batch_size=size, drop_last=True)
    fit(engine, options, epochs=1, n_warm=n_warm)
    assert sorted(n for gradients, _, n in passes if gradients) == wanted


def test_a_dropped_batch_is_of_other_users_in_each_epoch(engine: Engine) -> None:
    noted = noting(engine)
    options = OPTIONS.replace(batch_size=40, drop_last=True)
    fit(engine, options, epochs=3, inputs=noted[0])
    left_out = [frozenset(range(N_WARM)) - set(batch) for batch in noted[1]]
    assert [len(users) for users in left_out] == [10, 10, 10]
    assert len(set(left_out)) == 3


def test_loss_leaves_out_who_is_dropped(engine: Engine) -> None:
    # As below: the weights stand still, so that the loss is that of the one batch.
    noted = noting(engine)
    options = OPTIONS.replace(learning_rate=1e-12, batch_size=40, drop_last=True)
    network = fit(engine, options, epochs=1, inputs=noted[0])
    seen = noted[1][0]
    inputs = inputs_of(engine)
    found = network.model.train()(engine.to_torch(inputs.batch(engine.asarray(np.array(seen)))))
    error = found.detach().cpu().numpy().astype(np.float64) - targets_of(inputs)[seen]
    assert_allclose(network.train_loss, [np.square(error).mean()], rtol=1e-4)


def test_an_only_batch_that_would_be_dropped_is_refused() -> None:
    options = OPTIONS.replace(batch_size=16, drop_last=True)
    check_batches(options, 16)
    check_batches(options.replace(drop_last=False), 15)
    with pytest.raises(UserError, match=r"'mlp\.drop_last'.* 15 warm users .* batch of 16"):
        check_batches(options, 15)


def test_epochs_go_through_the_users_in_fresh_orders(engine: Engine) -> None:
    inputs, orders = noting(engine)
    fit(engine, OPTIONS.replace(batch_size=50), epochs=3, inputs=inputs)
    assert [sorted(order) for order in orders] == [list(range(N_WARM))] * 3
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] != list(range(N_WARM))


def test_loss_is_the_mean_over_users_and_dimensions(engine: Engine) -> None:
    # With a learning rate this small the first epoch meets the initial weights throughout; with
    # one batch, batch normalisation sees all users at once.
    options = OPTIONS.replace(learning_rate=1e-12, batch_size=50)
    network = fit(engine, options, epochs=1)
    inputs = inputs_of(engine)
    model = network.model.train()
    found = model(engine.to_torch(inputs.batch(engine.asarray(np.arange(N_WARM)))))
    wanted = targets_of(inputs)[:N_WARM]
    error = np.square(found.detach().cpu().numpy().astype(np.float64) - wanted).mean()
    assert_allclose(network.train_loss, [error], rtol=1e-4)


def test_progress(engine: Engine) -> None:
    steps: list[tuple[int, int, str]] = []
    network = fit(engine, progress=lambda done, of, text: steps.append((done, of, text)))
    assert [step[:2] for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert f"{network.train_loss[-1]:.5f}" in steps[-1][2]
    assert f"{network.validation_cosine[-1]:.4f}" in steps[-1][2]


# -- what repeats ----------------------------------------------------------------------------------


def test_the_seed_decides_everything(engine: Engine) -> None:
    torch.manual_seed(1)
    one = fit(engine, seed=5)
    torch.manual_seed(2)
    again, other = fit(engine, seed=5), fit(engine, seed=6)
    assert one.train_loss == again.train_loss
    assert one.validation_cosine == again.validation_cosine
    for name, value in weights(one).items():
        assert_array_equal(value, weights(again)[name])
    assert np.abs(weights(one)["layers.0.weight"] - weights(other)["layers.0.weight"]).max() > 1e-3


def test_training_in_bfloat16_comes_close(engine: Engine) -> None:
    # In a batch of two users, of which OPTIONS has one, anything is magnified.
    plain = OPTIONS.replace(batch_size=25)
    rounding = plain.replace(precision="bfloat16")
    exact, rounded, again = (
        fit(engine, options, epochs=12) for options in (plain, rounding, rounding)
    )
    assert exact.train_loss[-1] < 0.5 * exact.train_loss[0]
    assert rounded.train_loss == again.train_loss
    assert_allclose(rounded.train_loss, exact.train_loss, rtol=0.02)
    assert_allclose(rounded.validation_cosine, exact.validation_cosine, atol=0.02)
    # What is kept is not rounded, and predicts in float32.
    for name, value in weights(rounded).items():
        assert_array_equal(value, weights(again)[name])
        if value.dtype != np.int64:
            assert value.dtype == np.float32
    first = torch.from_numpy(weights(rounded)["layers.0.weight"])
    assert not torch.equal(first, first.bfloat16().float())
    assert_allclose(cosine(engine, rounded), rounded.validation_cosine[-1], rtol=1e-5)


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_without_bfloat16_is_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has: bool
) -> None:
    monkeypatch.setattr(type(engine), "multiplies_bfloat16", lambda _: has)
    fit(engine, epochs=1)
    fit(engine, OPTIONS.replace(precision="bfloat16"), epochs=1)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (0 if has else 1)
    assert all("'mlp.precision' is bfloat16" in line for line in told)


def test_no_global_random_state_is_touched(engine: Engine) -> None:
    before = torch.get_rng_state().clone(), random.getstate()
    numpy_before = str(np.random.get_state(legacy=False))  # noqa: NPY002
    fit(engine, epochs=1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert numpy_before == str(np.random.get_state(legacy=False))  # noqa: NPY002


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"learning_rate": 0.02},
        {"weight_decay": 0.1},
        {"batch_size": 8},
        {"normalize_output": False},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_options_are_heeded(engine: Engine, change: dict[str, Any]) -> None:
    one, other = fit(engine), fit(engine, OPTIONS.replace(**change))
    assert np.abs(weights(one)["layers.3.weight"] - weights(other)["layers.3.weight"]).max() > 1e-4


def test_momentum_is_for_sgd(engine: Engine) -> None:
    for optimizer, differs in (("sgd", True), ("adam", False)):
        one, other = (
            fit(engine, OPTIONS.replace(optimizer=optimizer, momentum=momentum))
            for momentum in (0.0, 0.9)
        )
        apart = np.abs(weights(one)["layers.3.weight"] - weights(other)["layers.3.weight"]).max()
        assert (apart > 1e-5) == differs


# -- predicting ------------------------------------------------------------------------------------


def test_predict_in_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    network, inputs = fit(engine), inputs_of(engine)
    users = np.array([3, 60, 3, 11, 0, 69, 20])
    model = network.model.train()  # predicting must not depend on who called last
    before = weights(network)
    monkeypatch.setattr(engine, "users_at_once", 3)
    monkeypatch.setattr(predicting, "_USERS", 4)
    made = feedforward(engine, model)
    found = engine.to_host(predict(engine, inputs, made, engine.asarray(users)))
    assert found.dtype == np.float32
    for name, value in weights(network).items():
        assert_array_equal(value, before[name])
    vectors = torch.from_numpy(cast("Inputs", inputs).host[users])
    wanted = model.cpu().eval()(vectors).detach().numpy()
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("width", [9, 700])
def test_a_prediction_is_the_same_bits_in_any_company(engine: Engine, width: int) -> None:
    random = np.random.default_rng(width)
    n = 150

    class Wide(Inputs):
        def __init__(self) -> None:
            self.width = width
            self._rows = engine.asarray(random.normal(size=(n, width)).astype(np.float32))

    inputs = cast("InputVectors", Wide())
    torch.manual_seed(0)
    there = engine.to_torch(inputs.batch(engine.asarray(np.arange(1)))).device
    model = feedforward(engine, Mlp(width, (48, 20), 16, normalize=True).to(there))

    def placed(*users: int) -> Any:
        return engine.to_host(predict(engine, inputs, model, engine.asarray(np.array(users))))

    whole = placed(*range(n))
    for user in (0, 63, 64, 127, 128, 149):
        assert_array_equal(placed(user), whole[[user]])
    some = [149, 3, 64, 3, *range(70, 140)]
    assert_array_equal(placed(*some), whole[some])
