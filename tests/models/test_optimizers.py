"""The optimizers against the classes of ``torch.optim``, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gpu_coldstart.models.optimizers import SGD, Adam, Optimizer

Make = Any


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("ours", "theirs", "momentum"),
    [
        (Adam, torch.optim.Adam, {}),
        (SGD, torch.optim.SGD, {"momentum": 0.0}),
        (SGD, torch.optim.SGD, {"momentum": 0.9}),
    ],
)
def test_steps_are_those_of_torch_optim(
    ours: Make, theirs: Make, momentum: dict[str, float], decay: float
) -> None:
    random = torch.Generator().manual_seed(0)
    start = [torch.randn(size, generator=random) for size in ((5, 3), (3,), (7,))]
    mine, other = ([torch.nn.Parameter(each.clone()) for each in start] for _ in range(2))
    made: Optimizer = ours(mine, learning_rate=0.01, weight_decay=decay, **momentum)
    kept = {name: value.clone() for name, value in made.tensors().items()}
    reference = theirs(other, lr=0.01, weight_decay=decay, fused=True, **momentum)
    for step in range(5):
        if step == 3:  # another one takes over
            kept = {name: value.clone() for name, value in made.tensors().items()}
            made = ours(mine, learning_rate=0.01, weight_decay=decay, **momentum)
            made.go_on(kept)
        for a, b in zip(mine[:2], other, strict=False):  # the last one has no gradient
            a.grad = torch.randn(a.shape, generator=random)
            b.grad = a.grad.clone()
        made.step()
        reference.step()
        reference.zero_grad()
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))
        assert all(each.grad is None for each in mine)
    with pytest.raises(ValueError, match="another optimizer"):
        made.go_on({})
