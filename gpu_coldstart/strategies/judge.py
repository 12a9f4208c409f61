"""Blends of candidates, taught and measured on folds of the validation users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.strategies.candidates import Candidates
from gpu_coldstart.strategies.discovery import DIALS, by_rank, turned
from gpu_coldstart.strategies.logit import Choices, fit_logit

__all__ = ["Judge", "Judged", "gain", "ranked"]

_BATCH = 512  # users whose candidates are ranked at once
_PARTS = (4, 16, 64)  # of the users who teach, how many may do with one


@dataclass(frozen=True)
class Judged:
    """A blend, by which each fold is ranked as the other folds say.

    Attributes
    ----------
    found : Candidates
        Of the users, as far as its experts list them.
    weights : Array [folds, f] of float64
    ndcg : Array [users] of float32
    """

    found: Candidates
    weights: Array
    ndcg: Array

    @property
    def mean(self) -> float:
        """NDCG of all users."""
        return float(self.ndcg.mean())


def ranked(xp: Any, found: Candidates, weights: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` candidates of the highest scores; equals by number, so by popularity.

    Parameters
    ----------
    weights : Array of floats, [f] or [users, 1, f]

    Returns
    -------
    tracks : Array [users, k] of int32
    scores : Array [users, k] of float32
    """
    scores = (found.features * weights.astype(xp.float64)).sum(axis=2).astype(xp.float32)
    scores = xp.where(found.allowed, scores, -xp.inf)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(found.tracks, order, 1), xp.take_along_axis(scores, order, 1)


def gain(ndcg: Array, other: Array) -> tuple[float, bool]:
    """How much more one NDCG of the users [n] is than another, and whether beyond doubt.

    Doubt is the standard error of the mean difference, which a single user does not have.
    """
    difference = ndcg - other
    mean, spread, n = float(difference.mean()), float(difference.std()), len(difference)
    return mean, n > 1 and mean > spread / (n - 1) ** 0.5


class Judge:
    """Teaches blends by some validation users, and measures them on others.

    Parameters
    ----------
    engine : Engine
    found : Candidates
        Of the users, in random order.
    wanted : Csr [users, tracks]
        What they streamed next.
    folds : int
    k : int
        Length of their lists.
    """

    def __init__(self, engine: Engine, found: Candidates, wanted: Csr, *, folds: int, k: int):
        self._engine, self._wanted, self._k, self._folds = engine, wanted, k, folds
        xp = engine.xp
        n, m = found.tracks.shape
        self._fold = xp.arange(n) % folds
        places = xp.repeat(xp.arange(n), m) * wanted.shape[1] + found.tracks.ravel()
        row = xp.searchsorted(wanted.indptr, xp.arange(wanted.nnz), side="right") - 1
        keys = row * wanted.shape[1] + wanted.indices
        hits = xp.minimum(xp.searchsorted(keys, places), max(wanted.nnz - 1, 0))
        hit = keys[hits] == places if wanted.nnz else xp.zeros(n * m, dtype=bool)
        self._streamed = hit.reshape(n, m)

    def fitted(
        self,
        found: Candidates,
        strength: float,
        start: Array | None = None,
        *,
        but: int = -1,
        most: int | None = None,
    ) -> Array:
        """Weights [f] of float64 from a first guess, by all users, or ``most`` not of one fold."""
        mine = self._fold != but
        if most is not None:
            mine &= mine.cumsum() <= most
        chosen = self._streamed & found.allowed & mine[:, None]
        choices = Choices(found.features, found.allowed, chosen)
        return fit_logit(self._engine, choices, strength, start)

    def by_folds(
        self,
        found: Candidates,
        strength: float,
        start: Array | None = None,
        most: int | None = None,
    ) -> Judged:
        """The blend of a strength that each fold gets of the others, or of ``most`` users of them.

        Parameters
        ----------
        start : Array [folds, f] of float64
            A first guess at the weights.
        """
        starts = [None] * self._folds if start is None else start
        weights = [
            self.fitted(found, strength, starts[fold], but=fold, most=most)
            for fold in range(self._folds)
        ]
        return self._judged(found, self._engine.xp.stack(weights))

    def alone(self, found: Candidates, place: int) -> Judged:
        """The lists of one expert, by place."""
        xp = self._engine.xp
        mine = found.of(xp, [place])
        return self._judged(mine, xp.tile(by_rank(xp, mine.features.shape[2]), (self._folds, 1)))

    def trials(
        self, found: Candidates, strengths: Sequence[float], say: Callable[[str], None]
    ) -> list[Judged]:
        """The blend by each strength; ``say`` hears of every one."""
        made: list[Judged] = []
        for strength in strengths:
            made.append(self.by_folds(found, strength, made[-1].weights if made else None))
            say(f"strength {strength:g}: NDCG {made[-1].mean:.4f}")
        return made

    def thinned(
        self,
        blend: Judged,
        strength: float,
        single: Mapping[str, float],
        say: Callable[[str], None],
    ) -> tuple[tuple[str, ...], dict[str, float], Judged]:
        """Leave out each expert, the worst first, without which the blend is as good.

        Parameters
        ----------
        single : dict of name to float
            NDCG of each expert alone, in the order of the features.
        say : callable
            Hears of every one.

        Returns
        -------
        kept : tuple of str
        added : dict of name to float
            How much better the blend was with each, as their turn came.
        blend : Judged
            Of those that are kept.
        """
        xp, kept, added = self._engine.xp, tuple(single), dict[str, float]()
        for name in sorted(single, key=single.__getitem__):
            rest = [place for place, other in enumerate(kept) if other != name]
            start = blend.found.only(xp, blend.weights, rest)
            without = self.by_folds(blend.found.of(xp, rest), strength, start)
            added[name], helps = gain(blend.ndcg, without.ndcg)
            if not helps:
                kept, blend = tuple(kept[place] for place in rest), without
            say(f"{name} adds {added[name]:+.4f}: {'kept' if helps else 'left out'}")
        return kept, added, blend

    def learning(self, blend: Judged, strength: float) -> dict[int, float]:
        """NDCG by the number of users who taught a blend: all outside a fold, a quarter, and so on.

        The strength is that of all, which is less than few users would ask for.
        """
        most = len(self._fold) - len(self._fold) // self._folds
        reached = {most: blend.mean}
        for part in _PARTS:
            fewer = max(1, most // part)
            reached[fewer] = self.by_folds(blend.found, strength, most=fewer).mean
        return dict(sorted(reached.items()))

    def turned(self, blend: Judged) -> tuple[Array, Array]:
        """Lists [dials, n, k] of the users, and their NDCG [dials, n], at each of ``DIALS``."""
        xp, n_experts = self._engine.xp, blend.found.listed.shape[2] - 1
        lists = [
            self._listed(blend.found, turned(blend.weights, n_experts, dial)) for dial in DIALS
        ]
        tracks, ndcg = zip(*lists, strict=True)
        return xp.stack(tracks), xp.stack(ndcg)

    def _judged(self, found: Candidates, weights: Array) -> Judged:
        return Judged(found, weights, self._listed(found, weights)[1])

    def _listed(self, found: Candidates, weights: Array) -> tuple[Array, Array]:
        """Lists [n, k] of the users, each fold by its weights [folds, f], and their NDCG [n]."""
        engine, mine = self._engine, weights[self._fold][:, None]

        def rank(some: slice) -> tuple[Array, Array]:
            return ranked(engine.xp, found.take(some), mine[some], self._k)

        tracks, _ = by_batches(engine.xp, len(self._fold), rank, size=_BATCH)
        return tracks, engine.rank_metrics(tracks, self._wanted, [self._k]).ndcg[0]
