"""Which epoch is kept, and when training ends."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.models import Network
from gpu_coldstart.models import training as module
from tests.models.helpers import N_WARM, OPTIONS, cosine, fit, inputs_of, targets_of, weights


def test_without_patience_the_last_epoch_is_kept(engine: Engine) -> None:
    network = fit(engine, epochs=5)
    assert len(network.train_loss) == len(network.validation_cosine) == 5
    assert network.best_epoch == 5
    assert_allclose(cosine(engine, network), network.validation_cosine[-1], rtol=1e-5)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_early_stopping_keeps_the_best_epoch(engine: Engine, patience: int) -> None:
    options = OPTIONS.replace(patience=patience, learning_rate=0.05)
    network = fit(engine, options, epochs=60)
    curve = network.validation_cosine
    best = max(range(len(curve)), key=lambda epoch: (curve[epoch], -epoch))
    assert network.best_epoch == best + 1
    assert len(curve) == best + 1 + patience, "it stops after that many epochs without a better"
    assert len(curve) < 60
    assert_allclose(cosine(engine, network), curve[best], rtol=1e-5)
    # The same as having stopped there.
    short = fit(engine, options.replace(patience=0), epochs=best + 1)
    for name, value in weights(short).items():
        assert_allclose(weights(network)[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("curve", "patience", "best", "epochs"),
    [
        ([0.1, 0.5, 0.3, 0.4, 0.45, 0.9], 3, 2, 5),  # better than the last is not the best yet
        ([0.1, 0.5, 0.3, 0.4, 0.6, 0.2], 3, 5, 6),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 2, 1, 3),  # as good is not better
        ([-0.9, -0.8, -0.7, -0.6, -0.5, -0.4], 1, 6, 6),
    ],
)
def test_early_stopping_on_a_given_curve(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    curve: list[float],
    patience: int,
    best: int,
    epochs: int,
) -> None:
    left = iter(curve)
    monkeypatch.setattr(module, "_cosine", lambda *_: next(left))
    network = fit(engine, OPTIONS.replace(patience=patience), epochs=6)
    assert network.validation_cosine == tuple(curve[:epochs])
    assert len(network.train_loss) == epochs
    assert network.best_epoch == best
    short = fit_plainly(engine, monkeypatch, best)
    for name, value in weights(short).items():
        assert_allclose(weights(network)[name], value, rtol=1e-4, atol=1e-6)


def fit_plainly(engine: Engine, monkeypatch: pytest.MonkeyPatch, epochs: int) -> Network:
    """Train without early stopping."""
    monkeypatch.undo()
    return fit(engine, OPTIONS, epochs=epochs)


def test_a_validation_that_only_worsens_keeps_the_first_epoch(engine: Engine) -> None:
    inputs = inputs_of(engine)
    options = OPTIONS.replace(patience=3)
    network = fit(engine, options, epochs=30, validation=-targets_of(inputs)[N_WARM:])
    curve = network.validation_cosine
    assert len(curve) < 30
    assert network.best_epoch == 1 + int(np.argmax(curve))
    assert curve[network.best_epoch - 1] > curve[-1]


def test_validation_targets_are_only_measured_against(engine: Engine) -> None:
    inputs = inputs_of(engine)
    one = fit(engine)
    other = fit(engine, validation=-targets_of(inputs)[N_WARM:])
    for name, value in weights(one).items():
        assert_array_equal(value, weights(other)[name])
    assert_allclose(one.validation_cosine, [-c for c in other.validation_cosine], rtol=1e-4)
