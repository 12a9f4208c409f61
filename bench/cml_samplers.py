"""How good CML's samplers are at several batch sizes, and how much they favour popular tracks.

``python bench/cml_samplers.py`` hides a quarter of each warm user's tracks, learns the rest, and
lists the 50 nearest of the tracks that are not known of the user. It prints a Markdown table: NDCG
of the hidden tracks in per cent, the mean over users of the median popularity rank in their list
(1 is the most popular track), and the share of all tracks that are in any list. ``--tafeng`` takes
the Ta-Feng grocery logs instead of the synthetic world.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from bench.data import Data, Floats, host
from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.engine import choose
from gpu_coldstart.models.cml import CmlTraining
from gpu_coldstart.models.negatives import Positives

K = 50
_HIDDEN = 0.25
_USERS_AT_A_TIME = 512


class Measured(NamedTuple):
    """What a space comes to."""

    ndcg: float
    rank: float
    coverage: float


def split(streamed: sp.csr_array, seed: int) -> tuple[sp.csr_array, sp.csr_array]:
    """What is learned of who streamed what, and the quarter of each user's tracks that is hidden.

    Examples
    --------
    >>> known, hidden = split(sp.csr_array(np.ones((3, 8))), 0)
    >>> known.sum(axis=1).tolist(), hidden.sum(axis=1).tolist()
    ([6.0, 6.0, 6.0], [2.0, 2.0, 2.0])
    """
    rng = np.random.default_rng(seed)
    users, tracks = streamed.nonzero()
    lengths = np.diff(streamed.indptr)
    order = np.lexsort((rng.random(len(users)), users))
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.repeat(streamed.indptr[:-1], lengths)
    out = place < np.floor(_HIDDEN * lengths[users])
    known, hidden = (
        sp.csr_array((np.ones(part.sum()), (users[part], tracks[part])), shape=streamed.shape)
        for part in (~out, out)
    )
    return known, hidden


def measure(places: Floats, known: sp.csr_array, hidden: sp.csr_array) -> Measured:
    """Lists of the nearest tracks that are not known, against the hidden ones."""
    users, tracks = places[: known.shape[0]], places[known.shape[0] :]
    popularity = known.sum(axis=0)
    rank = np.empty(len(tracks), np.int64)
    rank[np.argsort(-popularity, kind="stable")] = np.arange(1, len(tracks) + 1)
    discounts = 1 / np.log2(np.arange(2, K + 2))
    gains, medians, listed = [], [], np.zeros(len(tracks), bool)
    for start in range(0, len(users), _USERS_AT_A_TIME):
        some = slice(start, start + _USERS_AT_A_TIME)
        scores = users[some] @ tracks.T - np.square(tracks).sum(axis=1) / 2
        scores[known[some].nonzero()] = -np.inf
        scores[:, popularity == 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        truth = hidden[some].toarray() > 0
        n = truth.sum(axis=1)
        found = np.take_along_axis(truth, best, 1) @ discounts
        gains.append(found[n > 0] / np.cumsum(discounts)[np.minimum(n[n > 0], K) - 1])
        medians.append(np.median(rank[best], axis=1))
        listed[best] = True
    return Measured(
        float(np.concatenate(gains).mean()),
        float(np.concatenate(medians).mean()),
        float(listed.mean()),
    )


def rows(known: sp.csr_array, hidden: sp.csr_array, settings: list[CmlConfig], seed: int) -> None:
    """Print a row of the table for each setting as soon as it is there."""
    pairs = Positives(
        torch.from_numpy(known.indptr.astype(np.int64)),
        torch.from_numpy(known.indices.astype(np.int64)),
        known.shape[1],
    )
    head = ("sampler", "power", "candidates", "negatives", "batch", "NDCG@50", "median rank")
    sys.stdout.write(f"| {' | '.join((*head, 'coverage', 's'))} |\n")
    sys.stdout.write(f"| --- |{' ---: |' * (len(head) + 1)}\n")
    for options in settings:
        training, begun = CmlTraining(pairs, options, seed), time.process_time()
        for epoch in range(1, options.epochs + 1):
            training.epoch(epoch)
        spent = time.process_time() - begun
        found = measure(training.places.numpy(), known, hidden)
        power = "" if options.sampler == "uniform" else f"{options.popularity_power:g}"
        candidates = f"{options.candidates}" if options.sampler == "two-stage" else ""
        cells = (
            *(options.sampler, power, candidates, f"{options.negatives}", f"{options.batch_size}"),
            *(f"{100 * found.ndcg:.2f}", f"{found.rank:.0f}", f"{100 * found.coverage:.1f} %"),
            f"{spent:.0f}",
        )
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tafeng", action="store_true", help="the Ta-Feng grocery logs")
    parser.add_argument("--scale", type=float, default=0.03, help="of the world (default: 0.03)")
    parser.add_argument("--epochs", type=int, default=20, help="(default: 20)")
    parser.add_argument("--negatives", type=int, default=1, help="(default: 1)")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--powers", type=float, nargs="+", default=[1.0, 0.25])
    parser.add_argument("--candidates", type=float, default=0.015, help="share of all tracks")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    engine, _ = choose("cpu")
    streamed = host(engine, Data(engine, given.scale, given.seed, tafeng=given.tafeng).logs.history)
    known, hidden = split(streamed, given.seed)
    base = CmlConfig(
        epochs=given.epochs,
        negatives=given.negatives,
        candidates=max(1, round(given.candidates * streamed.shape[1])),
    )
    settings = [
        base.replace(sampler=sampler, popularity_power=power, batch_size=size)
        for sampler in ("uniform", "popular", "two-stage")
        for power in (given.powers if sampler != "uniform" else [1.0])
        for size in given.batches
    ]
    sys.stdout.write(
        f"{streamed.shape[0]} users, {streamed.shape[1]} tracks, {streamed.nnz} pairs, "
        f"{given.epochs} epochs\n\n"
    )
    rows(known, hidden, settings, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
