"""Collaborative Metric Learning with two-stage sampling: an epoch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from bench.cases import HIGHER, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, host
from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.models.cml import CmlTraining, cml_loss
from gpu_coldstart.models.negatives import Positives

_CHECKED = 100_000
_REDRAWN = 10

Choose: TypeAlias = Callable[[Floats, sp.csr_array, np.random.Generator], Floats]
"""From weights [n, c], and which are known, to a column of each row."""


def _prepare(setting: Setting) -> Case:
    engine, logs = setting.engine, setting.data.logs
    streamed = host(engine, logs.history)
    n_users, n_tracks = streamed.shape
    candidates = min(2000, n_tracks // 4)
    options = CmlConfig(sampler="two-stage", candidates=candidates, negatives=1)

    def ours() -> Work:
        history = logs.history
        indptr, tracks = map(engine.to_torch, (history.indptr, history.indices))
        pairs = Positives(indptr, tracks.long(), n_tracks)

        def work() -> torch.Tensor:
            training = CmlTraining(pairs, options, setting.seed)
            training.epoch(1)
            return training.places

        return work

    def quality(places: Floats, _: object) -> dict[str, float]:
        return {"streamed is nearer": _auc(streamed, places, setting.seed)}

    pairs = streamed.nnz
    batches = -(-pairs // options.batch_size)
    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, lambda places: places.cpu().numpy(), ours=True),
            *(
                Contender(name, partial(_plain, streamed, options, setting, choose))
                for name, choose in (
                    ("PyTorch, row by row", _redrawn),
                    ("PyTorch, all at once", _masked),
                )
            ),
        ],
        quality=quality,
        rules=(Rule("streamed is nearer", HIGHER, 0.02),),
        sizes={
            "users": n_users,
            "tracks": n_tracks,
            "pairs": pairs,
            "d": options.dimension,
            "batch": options.batch_size,
            "candidates": options.candidates,
        },
        items="pairs",
        # Every row of a pair is read and written, with AdaGrad's sums; candidates are read.
        bytes=4.0 * options.dimension * (3 * 4 * pairs + batches * options.candidates),
        flops=2.0 * options.dimension * options.candidates * pairs,
    )


def _auc(streamed: sp.csr_array, places: Floats, seed: int) -> float:
    """Share of streamed tracks that are nearer to their user than one the user did not stream."""
    rng = np.random.default_rng(seed)
    n_users, n_tracks = streamed.shape
    pairs = streamed.tocoo()
    some = rng.integers(streamed.nnz, size=_CHECKED)
    users, tracks, others = pairs.row[some], pairs.col[some], rng.integers(n_tracks, size=_CHECKED)
    new = np.asarray(streamed[users, others]).ravel() == 0
    near, far = (
        np.square(places[users] - places[n_users + each]).sum(axis=1) for each in (tracks, others)
    )
    return float((near < far)[new].mean())


def _redrawn(weights: Floats, known: sp.csr_array, rng: np.random.Generator) -> Floats:
    """As the published code draws: row by row, and again where the user knows what was drawn.

    What is known after ten times stays, which is mostly the pair's own track.
    """
    shares = weights / weights.sum(axis=1, keepdims=True)
    drawn, again, there = np.zeros(len(shares), np.int64), [*range(len(shares))], known.toarray()
    for _ in range(1 + _REDRAWN):
        for row in again:
            drawn[row] = rng.choice(len(shares[row]), p=shares[row])
        again = [row for row in again if there[row, drawn[row]]]
    return drawn


def _masked(weights: Floats, known: sp.csr_array, rng: np.random.Generator) -> Floats:
    """All rows at once, of what the users do not know."""
    del rng
    weights[known.toarray() > 0] = 0
    weights[weights.sum(axis=1) == 0] = 1
    drawn: Floats = torch.multinomial(torch.from_numpy(weights), 1)[:, 0].numpy()
    return drawn


def _weights(positives: Floats, candidates: Floats) -> Floats:
    """By similarity: (1 - s^2)^(1 - (d - 1) / 2), none where s <= 0, all alike where none is."""
    similarities = positives @ candidates.T
    logs = np.log(np.maximum(1 - similarities**2, 1e-6)) * (1 - (positives.shape[1] - 1) / 2)
    weights: Floats = np.exp(logs - logs.max(axis=1, keepdims=True), dtype=np.float64)
    weights[similarities <= 0] = 0
    weights[weights.sum(axis=1) == 0] = 1
    return weights


def _plain(streamed: sp.csr_array, options: CmlConfig, setting: Setting, choose: Choose) -> Work:
    """What one writes with two embeddings, NumPy's sampling and PyTorch's AdaGrad."""
    (n_users, n_tracks), d = streamed.shape, options.dimension
    pairs = np.stack(streamed.nonzero(), axis=1)
    popularity = np.bincount(pairs[:, 1], minlength=n_tracks).astype(float)
    shares = popularity / popularity.sum()

    def negatives(batch: Floats, tracks: nn.Embedding, rng: np.random.Generator) -> Floats:
        candidates = rng.choice(n_tracks, options.candidates, replace=False, p=shares)
        table = tracks.weight.detach().numpy()
        weights = _weights(table[batch[:, 1]], table[candidates])
        known = streamed[batch[:, 0]][:, candidates]
        drawn: Floats = candidates[choose(weights, known, rng)]
        return drawn

    def work() -> Floats:
        torch.manual_seed(setting.seed)
        rng = np.random.default_rng(setting.seed)
        users, tracks = (nn.Embedding(n, d, sparse=True) for n in (n_users, n_tracks))
        for table in (users, tracks):
            nn.init.normal_(table.weight, std=d**-0.5)
        both = [*users.parameters(), *tracks.parameters()]
        optimizer = torch.optim.Adagrad(both, lr=options.learning_rate)
        order = rng.permutation(len(pairs))
        for start in range(0, len(pairs), options.batch_size):
            batch = pairs[order[start : start + options.batch_size]]
            drawn = torch.from_numpy(negatives(batch, tracks, rng))
            u, v = torch.from_numpy(batch).T
            loss = cml_loss(
                torch.stack([users(u), tracks(v), tracks(drawn)]),
                torch.ones(len(batch)),
                n_tracks=n_tracks,
                margin=options.margin,
                covariance=options.covariance,
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            with torch.no_grad():
                for table, rows in ((users, u), (tracks, torch.cat([v, drawn]))):
                    moved = table.weight[rows]
                    table.weight[rows] = moved / moved.norm(dim=1, keepdim=True).clamp(min=1)
        return np.concatenate([table.weight.detach().numpy() for table in (users, tracks)])

    return work


BENCHMARKS = (
    Benchmark(
        "cml",
        "an epoch of CML over who streamed what, d = 128: batches of 256, each with its "
        "candidates drawn by popularity, and one of them for each pair by similarity",
        _prepare,
        slow=True,
        most_rounds=3,
    ),
)
"""What this file measures."""
