"""Training by a recorded step gives what training step by step gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import Array
from gpu_coldstart.features import InputVectors, Resident
from tests.models.helpers import OPTIONS, Inputs, fit, weights

PRECISIONS = ["float32", "bfloat16"]


class Held(Inputs):
    """Inputs whose table is resident."""

    def table(self, users: Array) -> Callable[[Array], Array]:
        return Resident(self._rows[users])


def held(engine: Engine) -> InputVectors:
    return cast("InputVectors", Held(engine))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_step_to_record_trains_as_the_plain_loop(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    engine = choose("cpu")[0]
    options = OPTIONS.replace(precision=precision)
    plain = fit(engine, options)  # its table is not resident, so that each batch is rounded
    sizes: list[int] = []

    def replaying(step: Callable[[torch.Tensor], None], *_: Any) -> Callable[[torch.Tensor], None]:
        def replayed(places: torch.Tensor) -> None:
            sizes.append(len(places))
            step(places)

        return replayed

    monkeypatch.setattr(type(engine), "repeated", lambda _, step, *rest: replaying(step, *rest))
    found = fit(engine, options, inputs=held(engine))
    assert sizes == [16, 16, 16, 2] * 3
    assert found.train_loss == plain.train_loss
    for name, value in weights(plain).items():
        assert_array_equal(weights(found)[name], value)
    sizes.clear()
    fit(engine, options)
    assert not sizes


@pytest.mark.gpu
@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_trains_as_eager(
    card: Engine, monkeypatch: pytest.MonkeyPatch, patience: int, precision: str
) -> None:
    options = OPTIONS.replace(patience=patience, precision=precision)
    graphs = [fit(card, options, inputs=held(card)) for _ in range(2)]
    monkeypatch.setattr(type(card), "repeated", lambda _, step, *rest: step)
    eager = fit(card, options, inputs=held(card))
    for network in graphs:
        assert_allclose(network.train_loss, eager.train_loss, rtol=1e-5)
        assert np.isfinite(network.validation_cosine).all()
        for name, value in weights(eager).items():
            assert_allclose(weights(network)[name], value, rtol=1e-3, atol=1e-4)
