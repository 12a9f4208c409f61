"""Training of the network (3.2.3)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from bench.cases import HIGHER, LOWER, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, points
from gpu_coldstart.config.components import MlpConfig
from gpu_coldstart.data.signals import BLOCKS, SCALARS, width
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.features import Inputs, Resident
from gpu_coldstart.models import train

_EPOCHS = 3
_DIMENSION = 128
_WARM, _VALIDATION = 70_000, 20_000
_EMPTY_BLOCKS = 0.6


class _Ready(Inputs):
    """Input vectors that are there already, as both sides get them."""

    def __init__(self, engine: Engine, vectors: Floats):
        super().__init__(engine)
        self._vectors = engine.asarray(vectors)
        self.width = int(vectors.shape[1])
        self.scalars = self._vectors[:, -len(SCALARS) :]

    def table(self, users: Array) -> Resident:
        """The table itself, where these users follow one another: a copy would be timed."""
        return Resident(self._vectors[int(users[0]) : int(users[-1]) + 1])

    def batch(self, users: Array) -> Array:
        """Rows of the table."""
        return self._vectors[users]

    def signal(self, name: str, users: Array) -> Array:
        """One signal's columns of the table."""
        start = BLOCKS.index(name) * _DIMENSION
        return self._vectors[users, start : start + _DIMENSION]


def _prepare(setting: Setting, precision: str = "float32") -> Case:
    engine = setting.engine
    sizes = {
        name: max(1024, round(setting.scale * n))
        for name, n in (("warm", _WARM), ("validation", _VALIDATION))
    }
    vectors, targets = _made_up(sum(sizes.values()), setting.seed)
    n = sizes["warm"]
    options = setting.data.config.mlp.replace(
        learning_rate=1e-3, batch_size=min(512, n // 2), precision=precision
    )

    def ours() -> Work:
        inputs, aims = _Ready(engine, vectors), engine.asarray(targets)
        every = engine.xp.arange(len(vectors))

        def work() -> nn.Module:
            return train(
                engine,
                inputs,
                warm=(every[:n], aims[:n]),
                validation=(every[n:], aims[n:]),
                options=options,
                epochs=_EPOCHS,
                seed=setting.seed,
                progress=lambda *_: None,
            ).model

        return work

    def quality(model: nn.Module, _: object) -> dict[str, float]:
        with torch.inference_mode():
            found = [model.cpu().eval()(torch.from_numpy(part)) for part in _cut(vectors)]
        errors = (torch.cat(found).numpy() - targets) ** 2
        cosines = 1 - errors[n:].sum(axis=1) / 2  # both are unit
        return {"loss": float(errors[:n].mean()), "validation cosine": float(cosines.mean())}

    device = "cuda" if engine.name == "cuda" else "cpu"
    weights = _weights()

    def rival(name: str, its: str) -> Contender:
        start = partial(_plain, vectors, targets, n, options.replace(precision=its))
        return Contender(name, partial(start, device=device, seed=setting.seed), device=device)

    rivals = [rival("PyTorch loop", "float32")]
    if precision != "float32":
        rivals.append(rival(f"PyTorch loop, {precision} by autocast", precision))
    return Case(
        contenders=[Contender("gpu_coldstart", ours, ours=True), *rivals],
        quality=quality,
        rules=(Rule("loss", LOWER, 0.05), Rule("validation cosine", HIGHER, 0.05)),
        sizes={
            **sizes,
            "width": vectors.shape[1],
            "epochs": _EPOCHS,
            "warm users seen": _EPOCHS * n,
        },
        items="warm users seen",
        bytes=4.0 * _EPOCHS * (n + sizes["validation"]) * vectors.shape[1],
        # Forward and backward are three products for a warm user, one for a validation user.
        flops=2.0 * _EPOCHS * weights * (3 * n + sizes["validation"]),
    )


def _made_up(n: int, seed: int) -> tuple[Floats, Floats]:
    """Input vectors with as many null blocks as real ones have, and unit targets that follow."""
    rng = np.random.default_rng(seed)
    targets = points(n, _DIMENSION, seed)
    vectors = np.zeros((n, width(_DIMENSION)), np.float32)
    for start in range(0, n, 8192):
        some = slice(start, min(start + 8192, n))
        noise = rng.standard_normal((some.stop - start, 20, _DIMENSION), np.float32) * 0.1
        known = rng.random((some.stop - start, 20, 1)) >= _EMPTY_BLOCKS
        blocks = (targets[some, None, :] + noise) * known
        vectors[some, : -len(SCALARS)] = blocks.reshape(len(blocks), -1)
    vectors[:, -len(SCALARS) :] = rng.standard_normal((n, len(SCALARS)), np.float32)
    return vectors, targets


def _weights() -> int:
    layers = (width(_DIMENSION), 400, 300, 200, _DIMENSION)
    return sum(before * after for before, after in pairwise(layers))


def _cut(vectors: Floats) -> list[Floats]:
    return [vectors[start : start + 4096] for start in range(0, len(vectors), 4096)]


class _Unit(nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(vectors, dim=1)


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = width(_DIMENSION)
    for after in (400, 300, 200):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
        before = after
    return nn.Sequential(*layers, nn.Linear(before, _DIMENSION), _Unit())


def _plain(
    vectors: Floats, targets: Floats, n: int, options: MlpConfig, *, device: str, seed: int
) -> Work:
    """What one writes first with PyTorch, and what the release does in essence.

    In each epoch the whole table is shuffled and then cut; after it validation users are
    measured. Rounding is by autocast, in training alone, as it is for ours.
    """
    all_inputs, all_targets = (torch.from_numpy(part).to(device) for part in (vectors, targets))

    rounding = torch.autocast(device, torch.bfloat16, enabled=options.precision == "bfloat16")

    def epoch(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        order = torch.randperm(n, device=device)
        inputs, aims = all_inputs[:n][order], all_targets[:n][order]
        model.train()
        for start in range(0, n, options.batch_size):
            some = slice(start, start + options.batch_size)
            with rounding:
                found = model(inputs[some])
            loss = nn.functional.mse_loss(found.float(), aims[some])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    def validate(model: nn.Module) -> float:
        model.eval()
        with torch.no_grad():
            found = model(all_inputs[n:])
            return float(nn.functional.cosine_similarity(found, all_targets[n:]).mean())

    def work() -> nn.Module:
        torch.manual_seed(seed)
        model = _network().to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
        for _ in range(_EPOCHS):
            epoch(model, optimizer)
            validate(model)
        return model

    return work


_WHAT = (
    f"{_EPOCHS} epochs of training on ready input vectors (made up), and a look at the "
    "validation users after each; Adam, batches of 512, d = 128"
)

BENCHMARKS = (
    Benchmark("mlp", _WHAT, _prepare, slow=True, most_rounds=3),
    Benchmark(
        "mlp-bfloat16",
        f"{_WHAT}; products of bfloat16, but for one contender's",
        partial(_prepare, precision="bfloat16"),
        slow=True,
        most_rounds=3,
    ),
)
"""What this file measures."""
