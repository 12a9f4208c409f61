"""What the order of equal scores does to the rows that need no network.

``python bench/tie_rules.py`` makes the synthetic world in the layout of the public release and
ranks it by the ``release`` protocol under several rules for equal scores; ``--data DIR`` takes the
release itself. It prints a Markdown table: precision and NDCG of the top 50 in per cent, and the
share of the test users whose 50th and 51st tracks score alike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import ndcg_score

from gpu_coldstart import registry, segments
from gpu_coldstart.batches import batches
from gpu_coldstart.cli.main import main as command
from gpu_coldstart.config.parameters import PRESETS, Config
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.datasets.deezer.dataset import ReleasedDataset
from gpu_coldstart.engine.base import Engine, HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.making import context_of, past_of
from gpu_coldstart.spaces import silent
from gpu_coldstart.strategies import Context, Past, Strategy, Users, parameters_of

K = 50
SPACES = registry.BOTH
MODEL_FREE = ("popularity", "registration-day", "input-features")
"""Strategies that need no network."""

_USERS_AT_A_TIME = 500


def _popular_first(scores: HostArray, place: HostArray) -> HostArray:
    """The rule of this project: of equals the more popular, then the smaller id."""
    return np.lexsort((place, -scores))[:K]


def _smallest_first(scores: HostArray, place: HostArray) -> HostArray:
    del place
    return np.argsort(-scores, kind="stable")[:K]


def _largest_first(scores: HostArray, place: HostArray) -> HostArray:
    del place
    return np.argsort(scores, kind="stable")[::-1][:K]


def _reversed_argsort(scores: HostArray, place: HostArray) -> HostArray:
    """The released code for charts and segments; what equals become is NumPy's affair."""
    del place
    return np.argsort(scores)[::-1][:K]


def _topk(scores: HostArray, place: HostArray) -> HostArray:
    """The released code for retrieval; what equals become is PyTorch's affair."""
    del place
    found: HostArray = torch.topk(torch.from_numpy(scores), K).indices.numpy()
    return found


RULES: dict[str, Callable[[HostArray, HostArray], HostArray]] = {
    "more popular (ours)": _popular_first,
    "smaller index": _smallest_first,
    "larger index": _largest_first,
    "`argsort(s)[::-1]`": _reversed_argsort,
    "`torch.topk`": _topk,
}
"""Each takes scores [songs] by ascending ``song_index``, and places in the order of popularity."""


class Measured(NamedTuple):
    """A strategy in a space, over the test users (fractions).

    Attributes
    ----------
    by_rule : dict of rule to (precision, NDCG)
    averaged : float
        NDCG where equals share their places, as in :func:`sklearn.metrics.ndcg_score`.
    tied : float
        Share of the users whose 50th and 51st tracks score alike.
    """

    by_rule: dict[str, tuple[float, float]]
    averaged: float
    tied: float


class Bench(NamedTuple):
    """All that the strategies without a network need, and what test users go on to stream.

    Attributes
    ----------
    config : Config
    context : Context
    past : Past
    users : Users
        The test users; their predictions are null.
    truth : GroundTruth
    """

    config: Config
    context: Context
    past: Past
    users: Users
    truth: GroundTruth

    def strategy(self, name: str) -> Strategy:
        """A strategy, fitted where it has a state of its own."""
        kind: type[Strategy] = registry.STRATEGIES.get(name)
        parameters = parameters_of(name, self.config)
        state = kind.fit(self.context, parameters, self.past, silent)
        return kind(self.context, parameters, state)


def bench_of(engine: Engine, config: Config, space: str) -> Bench:
    """The release in ``config.data``, in one space."""
    dataset = ReleasedDataset(Path(config.data), config.spaces)
    logs, truth = dataset.index(engine, config, silent)
    fitted = dataset.space(space, engine, logs, config, silent)
    cut = segments.fit(engine, logs, fitted, config.segments, config.seed)
    inputs = dataset.inputs(engine, logs, fitted, config)
    context = context_of(engine, logs, fitted, cut, config)
    cold = engine.xp.arange(logs.n_warm, logs.n_users)
    null = engine.xp.zeros((len(cold), fitted.dimension), dtype=engine.xp.float32)
    users = Users(logs.registrations, inputs, cold, null)
    validation = users.take(slice(logs.n_validation))
    past = past_of(engine, logs, truth, space=fitted, cut=cut, validation=validation, config=config)
    tested = users.take(slice(logs.n_validation, logs.n_validation + logs.n_test))
    return Bench(config, context, past, tested, truth)


def scored(bench: Bench, strategy: str) -> Iterator[tuple[HostArray, HostArray]]:
    """Scores of all songs and truth as zeros and ones [songs] of each test user, by song id."""
    engine, logs = bench.context.engine, bench.past.logs
    by_id = np.argsort(engine.to_host(logs.track_ids))
    chosen, later = bench.strategy(strategy), bench.truth.of(engine, "test")
    for some in batches(len(bench.users), _USERS_AT_A_TIME):
        ranking = chosen.recommend(bench.users.take(some), logs.n_tracks)
        tracks, values = engine.to_host(ranking.tracks), engine.to_host(ranking.scores)
        scores = np.empty_like(values)
        np.put_along_axis(scores, tracks, values, axis=1)
        heard = engine.take_rows(later, engine.xp.arange(some.start, some.stop))
        indptr, songs = engine.to_host(heard.indptr), engine.to_host(heard.indices)
        for row in range(len(scores)):
            truth = np.zeros(logs.n_tracks)
            truth[songs[indptr[row] : indptr[row + 1]]] = 1
            yield scores[row, by_id], truth[by_id]


def measure(bench: Bench, strategy: str) -> Measured:
    """Precision and NDCG of a strategy under every rule."""
    # Tracks are numbered by popularity.
    place = np.argsort(bench.context.engine.to_host(bench.past.logs.track_ids))
    found: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    averaged, tied = [], []
    discounts = 1 / np.log2(np.arange(2, K + 2))
    for scores, truth in scored(bench, strategy):
        most = min(K, int(truth.sum()))
        for rule, first in RULES.items():
            hits = truth[first(scores, place)]
            gain = float((hits * discounts).sum() / discounts[:most].sum())
            found[rule].append((float(hits.sum()) / most, gain))
        averaged.append(float(ndcg_score(truth[None], scores[None], k=K)))
        best = np.sort(scores)[::-1]
        tied.append(bool(best[K - 1] == best[K]))
    means = {rule: np.mean(pairs, axis=0) for rule, pairs in found.items()}
    return Measured(
        {rule: (float(both[0]), float(both[1])) for rule, both in means.items()},
        float(np.mean(averaged)),
        float(np.mean(tied)),
    )


def table(rows: dict[tuple[str, str], Measured]) -> str:
    """The measures as Markdown, per cent."""
    head = ["space", "strategy", *RULES, "NDCG, equals averaged", "tied at 50"]
    lines = [head, ["---", "---", *["---:"] * (len(RULES) + 2)]]
    for (space, strategy), row in rows.items():
        cells = [f"{100 * p:.2f} / {100 * n:.2f}" for p, n in row.by_rule.values()]
        lines.append(
            [space, strategy, *cells, f"{100 * row.averaged:.2f}", f"{100 * row.tied:.0f}"]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR", help="the release's files, instead of the world")
    parser.add_argument(
        "--preset", choices=PRESETS, default="small", help="of the world (default: small)"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        data = options.data or f"{made}/release"
        if not options.data:
            with redirect_stdout(sys.stderr):
                words = ["data", "deezer-layout", "--preset", options.preset, "--out", data]
                status = command(words)
            if status:
                return status
        chosen = {"data": data, "evaluation.protocol": "release"}
        try:
            config = resolve(dataset="deezer", preset=options.preset, settings=chosen)
            rows = {
                (space, name): measure(bench, name)
                for space in SPACES
                for bench in [bench_of(CpuEngine(), config, space)]
                for name in MODEL_FREE
            }
        except UserError as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
    sys.stdout.write(f"{table(rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
