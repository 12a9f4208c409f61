"""How good relations in a metric space are by themselves, by the protocol of Tran et al. (2021).

``python bench/relations.py`` hides a fifth of the pairs of users and tracks, learns each relation
from the rest, and lists the 10 tracks that score highest of those that are not known of the user.
It prints a Markdown table: NDCG, recall, MAP and MRR in per cent, and the mean over users of the
median popularity rank in their list (MMR; 1 is the most popular track), each as the mean of five
cohorts of users with the half-width of its 95 % interval; then how much NDCG exceeds that of no
relation, cohort by cohort. ``--tafeng`` takes the Ta-Feng grocery logs, ``--data DIR`` the streams
in tables of the data contract, instead of the synthetic world.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp
from scipy import stats

from bench.data import Data, Floats, host
from gpu_coldstart.batches import batches
from gpu_coldstart.config.metric import HlrConfig
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import Csr
from gpu_coldstart.evaluation.measures import hits_of, user_measures
from gpu_coldstart.spaces import Space, silent
from gpu_coldstart.spaces.hlr import learn
from gpu_coldstart.spaces.relations import RELATIONS

K = 10
_COHORTS = 5
_HIDDEN = 0.2
_USERS_AT_A_TIME = 256
MEASURES = ("ndcg", "recall", "map", "mrr", "mmr")


@dataclass(frozen=True)
class Task:
    """What is known, what is hidden, and whose lists are measured together.

    Attributes
    ----------
    known, hidden : csr_array [users, tracks]
    cohorts : list of array
        Users with hidden tracks.
    """

    known: sp.csr_array
    hidden: sp.csr_array
    cohorts: list[Floats]

    @cached_property
    def rank(self) -> Floats:
        """Popularity rank of each track among what is known, from 0."""
        rank = np.empty(self.known.shape[1], np.int64)
        rank[np.argsort(-self.known.sum(axis=0), kind="stable")] = np.arange(len(rank))
        return rank


def dense_enough(streamed: sp.csr_array, least: int) -> sp.csr_array:
    """Users and tracks that have at least so many of each other.

    Examples
    --------
    >>> dense_enough(sp.csr_array([[1, 1, 0], [1, 1, 0], [1, 0, 1]]), 2).toarray().tolist()
    [[1, 1], [1, 1]]
    """
    while True:
        users, tracks = (streamed.count_nonzero(axis=axis) >= least for axis in (1, 0))
        if users.all() and tracks.all():
            return streamed
        streamed = streamed[users][:, tracks]


def matrix(table: sp.csr_array) -> Csr:
    """A SciPy matrix as the CPU engine has it."""
    return Csr(
        table.indptr.astype(np.int64),
        table.indices.astype(np.int32),
        table.data.astype(np.float32),
        table.shape,
    )


def streams(directory: Path) -> sp.csr_array:
    """Who streamed what, in tables of the data contract."""
    table = pq.read_table(directory / "interactions.parquet")
    table = table.filter(
        pc.and_(pc.equal(table["action"], "stream"), pc.equal(table["entity"], "track"))
    )
    users, tracks = (
        np.unique(table[name].to_numpy(), return_inverse=True)[1]
        for name in ("user_id", "entity_id")
    )
    made = sp.csr_array((np.ones(len(users)), (users, tracks)))
    made.sum_duplicates()
    return made


def task_of(streamed: sp.csr_array, seed: int) -> Task:
    """A fifth of the pairs hidden, and users with some of them dealt out to five cohorts."""
    rng = np.random.default_rng(seed)
    users, tracks = streamed.nonzero()
    out = rng.permutation(len(users)) < _HIDDEN * len(users)
    known, hidden = (
        sp.csr_array((np.ones(part.sum()), (users[part], tracks[part])), shape=streamed.shape)
        for part in (~out, out)
    )
    measured = rng.permutation(np.flatnonzero(np.diff(hidden.indptr)))
    return Task(known, hidden, [np.sort(measured[i::_COHORTS]) for i in range(_COHORTS)])


def learned(
    engine: Engine, task: Task, options: HlrConfig, rates: list[float], seed: int
) -> tuple[Space, float]:
    """The space whose learning rate leads to the least loss of the pairs held out, and the rate."""
    history = matrix(task.known)
    spaces = [
        learn(engine, history, options.replace(learning_rate=rate), seed, silent) for rate in rates
    ]
    return min(zip(spaces, rates, strict=True), key=lambda each: min(each[0].losses))


def measured(task: Task, scores: Floats, some: Floats) -> dict[str, Floats]:
    """Each user's measures of the best tracks by ``scores`` [users, tracks] that are not known."""
    known, hidden = task.known[some], task.hidden[some]
    scores[known.nonzero()] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    found = user_measures(hits_of(best, hidden), np.diff(hidden.indptr), K)
    return {**found, "mmr": 1 + np.median(task.rank[best], axis=1)}


def by_cohort(engine: Engine, task: Task, space: Space | None, seed: int) -> Floats:
    """Means of the measures [cohorts, measures]; without a space, of the most popular tracks."""
    weights = task.known.copy()
    # Of users with many tracks, those count that a draw puts first.
    weights.data = np.random.default_rng(seed).permutation(weights.nnz) + 1.0
    means = []
    for cohort in task.cohorts:
        parts = []
        for part in batches(len(cohort), _USERS_AT_A_TIME):
            some = cohort[part]
            if space is None:
                scores = np.tile(-task.rank.astype(np.float32), (len(some), 1))
            else:
                assert space.relations is not None
                scores = space.relations.scores(
                    engine, space.tracks, space.users[some], matrix(weights[some])
                )
            parts.append(measured(task, scores, some))
        means.append([np.concatenate([each[name] for each in parts]).mean() for name in MEASURES])
    return np.array(means)


def interval(values: Floats) -> tuple[float, float]:
    """Mean of cohorts and the half-width of its 95 % interval (Student's t)."""
    n = len(values)
    width = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(width)


def rows(engine: Engine, task: Task, options: HlrConfig, given: argparse.Namespace) -> None:
    """Print a row of the table for each relation as soon as it is there."""
    head = ("relation", "rate", "epochs", "NDCG@10", "recall", "MAP", "MRR", "MMR")
    sys.stdout.write(f"| {' | '.join((*head, 'NDCG against none', 's'))} |\n")
    sys.stdout.write(f"| --- |{' ---: |' * (len(head) + 1)}\n")
    plain = None
    for name in ("popularity", *given.relations):
        begun, space, rate, epochs = time.process_time(), None, "", ""
        if name != "popularity":
            asked = options.replace(relation=name)
            space, chosen = learned(engine, task, asked, given.rates, given.seed)
            rate, epochs = f"{chosen:g}", str(int(np.argmin(space.losses)) + 1)
        spent = time.process_time() - begun
        found = by_cohort(engine, task, space, given.seed)
        plain = found[:, 0] if name == "none" else plain
        cells = [shown(100 * found[:, i], 2) for i in range(4)] + [shown(found[:, 4], 0)]
        against = "" if plain is None or name == "none" else shown(100 * (found[:, 0] - plain), 2)
        cells = [name, rate, epochs, *cells, against, f"{spent:.0f}"]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()


def shown(values: Floats, digits: int) -> str:
    """Mean and half-width of the interval of the values of the cohorts."""
    mean, width = interval(values)
    return f"{mean:.{digits}f} ± {width:.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tafeng", action="store_true", help="the Ta-Feng grocery logs")
    parser.add_argument("--data", type=Path, help="a directory of tables")
    parser.add_argument("--scale", type=float, default=0.03, help="of the world (default: 0.03)")
    parser.add_argument("--least", type=int, default=5, help="of a user and a track (default: 5)")
    parser.add_argument("--relations", nargs="+", choices=RELATIONS, default=list(RELATIONS))
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0005, 0.002])
    parser.add_argument("--history", type=int, default=20, help="(default: 20)")
    parser.add_argument("--margin", type=float, default=0.5, help="(default: 0.5)")
    parser.add_argument("--epochs", type=int, default=100, help="at most (default: 100)")
    parser.add_argument("--patience", type=int, default=5, help="(default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    engine, _ = choose("cpu")
    if given.data:
        streamed = streams(given.data)
    else:
        streamed = host(
            engine, Data(engine, given.scale, given.seed, tafeng=given.tafeng).logs.history
        )
    task = task_of(dense_enough(streamed, given.least), given.seed)
    options = HlrConfig(
        history=given.history, margin=given.margin, epochs=given.epochs, patience=given.patience
    )
    n_users, n_tracks = task.known.shape
    sys.stdout.write(
        f"{n_users} users, {n_tracks} tracks, {task.known.nnz} known pairs, "
        f"{task.hidden.nnz} hidden\n\n"
    )
    rows(engine, task, options, given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
