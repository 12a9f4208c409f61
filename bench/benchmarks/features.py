"""Assembly of the input vectors, 2579 wide (3.2.2).

The released code reads its vectors ready-made; how they were assembled was not released. The
rivals do the same definition: the mean of the embeddings of what each signal touched, weighted by
events, beside age, country and 19 scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, host
from gpu_coldstart.data.signals import SIGNALS

_BATCH = 4096


@dataclass(frozen=True)
class _Parts:
    """What a vector is made of, on the host.

    Attributes
    ----------
    events : csr_array [users * 18, entities]
    entities : [entities, d]
        Embeddings.
    first : [users, 2 d]
        Age and country blocks.
    scalars : [users, 19]
    """

    events: sp.csr_array
    entities: Floats
    first: Floats
    scalars: Floats

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.scalars)

    def slices(self) -> list[slice]:
        """Batches of users."""
        starts = range(0, self.users, _BATCH)
        return [slice(start, min(start + _BATCH, self.users)) for start in starts]

    def rows(self, users: slice) -> sp.csr_array:
        """The events of some users, a row for each user and signal."""
        return self.events[users.start * len(SIGNALS) : users.stop * len(SIGNALS)]


def _prepare(setting: Setting) -> Case:
    engine, logs, inputs = setting.engine, setting.data.logs, setting.data.inputs
    xp, d = engine.xp, setting.data.space.dimension
    parts = _parts(setting)

    def ours() -> Work:
        everybody = xp.arange(logs.n_users)

        def work() -> Any:
            for users in parts.slices():
                batch = inputs.batch(everybody[users])
            return batch

        return work

    on_gpu = engine.name == "cuda"
    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, engine.to_host, ours=True),
            Contender("SciPy, product of sparse rows", lambda: _scipy(parts)),
            Contender(
                "PyTorch, embedding_bag",
                lambda: _torch(parts, torch.device("cuda" if on_gpu else "cpu")),
                lambda batch: batch.cpu().numpy(),
                device="cuda" if on_gpu else "cpu",
            ),
            Contender("pandas, merge and group", lambda: _pandas(parts), needs=("pandas",)),
        ],
        quality=lambda batch, mine: {"largest difference": float(np.abs(batch - mine).max())},
        rules=(Rule("largest difference", SAME, 2e-5),),
        sizes={
            "users": parts.users,
            "events": parts.events.nnz,
            "entities": len(parts.entities),
            "d": d,
            "width": inputs.width,
        },
        items="users",
        bytes=4.0 * parts.events.nnz * (d + 2) + 4.0 * parts.users * inputs.width,
        flops=2.0 * parts.events.nnz * d,
    )


def _parts(setting: Setting) -> _Parts:
    engine, logs, inputs = setting.engine, setting.data.logs, setting.data.inputs
    d = setting.data.space.dimension
    batches = []
    for start in range(0, logs.n_users, _BATCH):
        users = engine.xp.arange(start, min(start + _BATCH, logs.n_users))
        batches.append(engine.to_host(inputs.batch(users)[:, : 2 * d]))
    return _Parts(
        host(engine, logs.registration),
        engine.to_host(engine.pool(logs.members, setting.data.space.tracks)),
        np.concatenate(batches),
        engine.to_host(inputs.scalars),
    )


def _laid_out(parts: _Parts, pooled: Callable[[slice], Floats]) -> Floats:
    """All batches, one after another; the last one."""
    for users in parts.slices():
        n = users.stop - users.start
        batch = np.concatenate(
            [parts.first[users], pooled(users).reshape(n, -1), parts.scalars[users]], axis=1
        )
    return batch


def _scipy(parts: _Parts) -> Work:
    def pooled(users: slice) -> Floats:
        rows = parts.rows(users)
        totals = np.asarray(rows.sum(axis=1)).ravel()
        shares = rows / np.where(totals > 0, totals, 1)[:, None]
        return np.asarray(shares.tocsr() @ parts.entities)

    return lambda: _laid_out(parts, pooled)


def _pandas(parts: _Parts) -> Work:
    import pandas as pd

    columns = [f"x{i}" for i in range(parts.entities.shape[1])]
    embeddings = pd.DataFrame(parts.entities, columns=columns)
    events = parts.events.tocoo()
    log = pd.DataFrame({"row": events.row, "entity": events.col, "count": events.data})

    def pooled(users: slice) -> Floats:
        low, high = users.start * len(SIGNALS), users.stop * len(SIGNALS)
        first, last = log["row"].searchsorted([low, high])
        some = log.iloc[first:last].merge(embeddings, left_on="entity", right_index=True)
        some[columns] = some[columns].mul(some["count"], axis=0)
        sums = some.groupby("row")[["count", *columns]].sum()
        means = sums[columns].div(sums["count"], axis=0).astype(np.float32)
        return np.asarray(means.reindex(range(low, high), fill_value=0.0))

    return lambda: _laid_out(parts, pooled)


def _torch(parts: _Parts, device: torch.device) -> Work:
    def moved(array: Floats) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    entities, first, scalars = map(moved, (parts.entities, parts.first, parts.scalars))
    indices, counts = moved(parts.events.indices.astype(np.int64)), moved(parts.events.data)
    offsets = moved(parts.events.indptr.astype(np.int64))
    # Batches begin and end at offsets the host knows, so that a device is never waited for.
    bounds = parts.events.indptr

    def pooled(users: slice) -> torch.Tensor:
        low, high = users.start * len(SIGNALS), users.stop * len(SIGNALS)
        some = slice(int(bounds[low]), int(bounds[high]))
        starts = offsets[low:high] - int(bounds[low])
        weights = counts[some]
        sums = torch.nn.functional.embedding_bag(
            indices[some], entities, starts, mode="sum", per_sample_weights=weights
        )
        lengths = offsets[low + 1 : high + 1] - offsets[low:high]
        totals = torch.segment_reduce(weights, "sum", lengths=lengths, initial=0.0)
        return sums / torch.where(totals > 0, totals, 1.0)[:, None]

    def work() -> torch.Tensor:
        for users in parts.slices():
            n = users.stop - users.start
            batch = torch.cat([first[users], pooled(users).view(n, -1), scalars[users]], dim=1)
        return batch

    return work


BENCHMARKS = (
    Benchmark(
        "features",
        f"registration-day events to the input vectors of all users, {_BATCH} at a time, d = 128",
        _prepare,
        slow=True,
        most_rounds=5,
    ),
)
"""What this file measures."""
