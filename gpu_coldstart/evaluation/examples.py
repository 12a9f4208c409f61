"""Some test users up close: their first day in words, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest

import numpy as np
import pyarrow as pa
from scipy import sparse

from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.signals import SIGNALS, signal_place
from gpu_coldstart.data.titles import Names, Titles
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.groups import Grouping

__all__ = ["EntityNames", "chosen", "first_day"]

_USERS = 10
_NAMED = 5
"""Entities of a kind that are named; of more there is the number."""

_ROUNDING = 1e-5
"""Share of a sum of counts that is but rounding."""

_VERBS = {
    "stream": "streamed",
    "skip": "skipped",
    "favorite": "liked",
    "ban": "banned",
    "search": "searched for",
    "onboarding": "liked at onboarding",
}
_OF_TRACKS = {signal.action: signal.name for signal in SIGNALS if signal.entity == "track"}
"""The signal of each action with tracks."""


def chosen(groups: Grouping, seed: int) -> HostArray:
    """Ten users, or all where there are fewer, from every group in turn [users of int64].

    Examples
    --------
    >>> groups = Grouping("interactions", ("none", "some"), np.arange(100) // 98)
    >>> [groups.labels[groups.codes[user]] for user in chosen(groups, 0)].count("none")
    8
    """
    shuffled = np.random.default_rng((seed, 3)).permutation(len(groups.codes))
    codes = groups.codes[shuffled]
    queues = [shuffled[codes == order] for order in range(len(groups.labels))]
    in_turn = (user for turn in zip_longest(*queues) for user in turn if user is not None)
    users = np.array([*islice(in_turn, _USERS)], np.int64)
    return users[np.argsort(groups.codes[users], kind="stable")]


@dataclass(frozen=True)
class EntityNames:
    """What to call tracks, artists, albums and playlists: by name, or by id where they have none.

    Attributes
    ----------
    ids : dict of kind to HostArray [entities] of int64
        In the order in which the logs number entities, one kind after another, tracks first.
    owners : dict of ``"artist"`` and ``"album"`` to HostArray [tracks] of int32
        Number of each track's artist and album among all entities; -1 where it has none.
    names : Ids
        What the int64 ids stand for.
    titles : Titles
    """

    ids: dict[str, HostArray]
    owners: dict[str, HostArray]
    names: Ids
    titles: Titles

    def of(self, kind: str, entities: HostArray) -> list[str]:
        """What to call some entities of a kind, given by their numbers [n]."""
        kinds = [*self.ids]
        first = sum(len(self.ids[each]) for each in kinds[: kinds.index(kind)])
        ids = self.ids[kind][entities - first]
        plain = map(str, self.names.names(kind, ids).to_pylist())
        known = {"track": self.titles.track, "playlist": self.titles.playlist}.get(kind, Names())
        titles = (self._of_artists(entities) if kind == "artist" else known.take(ids)).to_pylist()
        called = [title or other for title, other in zip(titles, plain, strict=True)]
        if kind != "track":
            return called
        by = self.titles.artist.take(ids).to_pylist()
        return [f"{c} \N{EN DASH} {a}" if a else c for c, a in zip(called, by, strict=True)]

    def _of_artists(self, entities: HostArray) -> pa.Array:
        """Names of artists, each from the first of its tracks."""
        owners, tracks = np.unique(self.owners["artist"], return_index=True)
        return self.titles.artist.take(self.ids["track"][tracks[np.searchsorted(owners, entities)]])


def first_day(day: sparse.csr_array, counts: HostArray, names: EntityNames) -> Iterator[str]:
    """What a user did on the registration day, a sentence for each kind of event.

    Streaming, skipping or banning a track also counts for its artist and album; what counts only
    so is not said again.

    Parameters
    ----------
    day : csr_array [18, entities]
        Of one user, as in :attr:`gpu_coldstart.data.registrations.Registrations.events`.
    counts : HostArray [18]
        Events of each signal; all that some data sets have.
    names : EntityNames
    """
    for place, signal in enumerate(SIGNALS):
        verb = _VERBS[signal.action]
        row = slice(*day.indptr[place : place + 2])
        entities, times = day.indices[row], day.data[row].astype(np.float64)
        if signal.follows_tracks:
            tracks = slice(*day.indptr[(at := signal_place(_OF_TRACKS[signal.action])) : at + 2])
            owners = names.owners[signal.entity][day.indices[tracks]]
            owned = np.bincount(
                owners[owners >= 0], day.data[tracks][owners >= 0], minlength=day.shape[1]
            )
            times = np.where(times - owned[entities] > _ROUNDING * times, times, 0)
        entities = entities[np.argsort(-times, kind="stable")][: np.count_nonzero(times)]
        if len(entities):
            some = ", ".join(names.of(signal.entity, entities[:_NAMED]))
            more = f" and {len(entities) - _NAMED} more" if len(entities) > _NAMED else ""
            yield f"{verb} {_counted(len(entities), signal.entity)}: {some}{more}"
        elif not (day.nnz or signal.follows_tracks) and counts[place] > 0:
            yield f"{verb} {_counted(round(float(counts[place])), signal.entity)}"


def _counted(n: int, kind: str) -> str:
    return f"{n} {kind}{'s' if n != 1 else ''}"
