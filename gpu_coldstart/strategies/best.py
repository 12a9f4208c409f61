"""Best: the lists of several strategies, and the user's own signals, blended as users chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.components import BestConfig
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Part, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.candidates import Candidates, Makers, candidates, makers
from gpu_coldstart.strategies.discovery import DIALS, TradeOff, by_rank, turned
from gpu_coldstart.strategies.logit import Choices, fit_logit
from gpu_coldstart.strategies.parts import parts, shares_of_parts

__all__ = ["Best"]

_BATCH = 512  # users whose candidates are held at once
_LISTED = 50  # length of the validation users' lists, as in the paper


@dataclass(frozen=True)
class Blend:
    """A multinomial logit over candidates.

    Attributes
    ----------
    weights : Array [f] of float32
        Of each feature of :class:`~gpu_coldstart.strategies.candidates.Candidates`.
    artists, albums : Array [tracks] of int32
        Who made each track, as :class:`~gpu_coldstart.strategies.candidates.Makers` has it.
    trade_off : TradeOff
        What validation users get for more discovery; of nobody in a saved model.
    experts : tuple of str
        Those that are blended.
    alone : bool
        Whether there is one, whose lists are taken as they are, as no blend was better. The weights
        are then those of :func:`~gpu_coldstart.strategies.discovery.by_rank`.
    curve : tuple of float
        NDCG on folds of the validation users for each strength tried.
    tried : tuple of str
        The strategies that could be blended, the first to be tried without in front.
    added : tuple of float
        What NDCG on the folds lost without each of them, when its turn came.
    """

    weights: Array
    artists: Array
    albums: Array
    trade_off: TradeOff
    experts: tuple[str, ...] = ()
    alone: bool = False
    curve: tuple[float, ...] = ()
    tried: tuple[str, ...] = ()
    added: tuple[float, ...] = ()


class Best(Strategy):
    """Candidates of all experts in the order in which a logit says that the user streams them.

    Candidates are the first tracks of each expert (``strategies.best_experts``), what the user
    streamed on registration day, and the chart. A multinomial logit weighs how each expert ranks
    and scores a candidate, its popularity, and what the user did that day with the track, its
    artist and its album. It learns from validation users alone; the strength of its regularisation
    is chosen by folds of them. Then each expert, the worst first, is left out if on these folds the
    others do as well without it, within the standard error of the difference. If the blend does
    not beat the best single expert by more than that, this expert's lists are taken.

    ``strategies.best_discovery`` adds as many times the logarithm of the popularity rank to a
    candidate's score. A single expert's is then the logarithm of ``101 / rank``.
    """

    name = "best"
    label = "Best"
    uses_prediction = False
    State = Blend
    unlearned = frozenset({"strategies.best_discovery"})

    Parameters = BestConfig

    def __init__(
        self,
        context: Context,
        parameters: Any = None,
        state: Any = None,
        experts: Mapping[str, Strategy] | None = None,
    ):
        super().__init__(context, parameters, state)
        self._experts = dict(experts or {})

    @classmethod
    def experts_of(cls, parameters: Any) -> tuple[str, ...]:
        """See :meth:`Strategy.experts_of`."""
        return tuple(parameters.experts)

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Blend:
        """Choose strength and experts on folds, and fit the logit to all validation users."""
        engine, experts = context.engine, past.experts
        generator = np.random.default_rng(context.seed)
        chosen = generator.permutation(len(past.validation))[: parameters.users]
        rows = engine.asarray(chosen)
        users, wanted = past.validation.take(rows), engine.take_rows(past.wanted, rows)
        made, k = makers(engine, past.logs), min(_LISTED, context.n_tracks)
        steps = len(parameters.strengths) + len(experts) + 1
        progress(0, steps, "candidates")
        found = candidates(context, users, experts, made, k).packed(engine.xp)
        judge = _Judge(context, found, wanted, folds=parameters.folds, k=k)
        trials = []
        for done, strength in enumerate(parameters.strengths, start=1):
            ndcg = judge.by_folds(found, strength)
            trials.append((float(ndcg.mean()), strength, ndcg))
            progress(done, steps, f"strength {strength:g}: NDCG {trials[-1][0]:.4f}")
        curve = tuple(each[0] for each in trials)
        _, strength, ndcg = max(trials, key=lambda each: each[0])

        single = {name: judge.alone(found, place) for place, name in enumerate(experts)}
        means = {name: float(each.mean()) for name, each in single.items()}
        places = {name: place for place, name in enumerate(experts)}  # of those that are kept
        added = {}
        for done, name in enumerate(sorted(means, key=means.__getitem__), start=len(curve) + 1):
            others = {other: place for other, place in places.items() if other != name}
            without = judge.by_folds(found.of(engine.xp, tuple(others.values())), strength)
            added[name], helps = _gain(ndcg, without)
            if not helps:
                places, ndcg = others, without
            verdict = "kept" if helps else "left out"
            progress(done, steps, f"{name} adds {added[name]:+.4f}: {verdict}")

        strongest = max(means, key=means.__getitem__)
        _, helps = _gain(ndcg, single[strongest])
        if not helps:
            places = {strongest: list(means).index(strongest)}
        kept = found.of(engine.xp, tuple(places.values()))
        weights, of_folds = judge.weights(kept, strength if helps else None)
        return Blend(
            weights.astype(engine.xp.float32),
            made.artists,
            made.albums,
            TradeOff(rows, *judge.turned(kept, of_folds)),
            experts=tuple(places),
            alone=not helps,
            curve=curve,
            tried=tuple(added),
            added=tuple(added.values()),
        )

    @classmethod
    def served(cls, state: Blend) -> Blend:
        """See :meth:`Strategy.served`."""
        return replace(state, trade_off=state.trade_off.of_nobody())

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        if self.state.alone and not self.parameters.discovery:
            return self._experts[self.state.experts[0]].recommend(users, k)

        def ranked(some: slice) -> tuple[Array, Array]:
            found = self._candidates(users.take(some), k)
            return _ranked(self.context.engine.xp, found, self._weights(), k)

        return Ranking(*by_batches(self.context.engine.xp, len(users), ranked, size=_BATCH))

    def segments_of(self, users: Users) -> tuple[Array, Array] | None:
        """Those of the expert that added the most, of the experts whose lists are made of some."""
        added = dict(zip(self.state.tried, self.state.added, strict=True))
        for name in sorted(self.state.experts, key=added.__getitem__, reverse=True):
            if (found := self._experts[name].segments_of(users)) is not None:
                return found
        return None

    def parts_of(self, users: Users, tracks: Array) -> tuple[tuple[Part, ...], Array]:
        """See :meth:`Strategy.parts_of`."""
        xp, n_tracks = self.context.engine.xp, self.context.n_tracks

        def shares(some: slice) -> tuple[Array]:
            found = self._candidates(users.take(some), tracks.shape[1])
            return (shares_of_parts(xp, found, self._weights(), tracks[some], n_tracks),)

        labels = (self._experts[name].label for name in self.state.experts)
        return parts(labels), *by_batches(xp, len(users), shares, size=_BATCH)

    def _candidates(self, users: Users, k: int) -> Candidates:
        state = self.state
        experts = {name: self._experts[name] for name in state.experts}
        return candidates(self.context, users, experts, Makers(state.artists, state.albums), k)

    def _weights(self) -> Array:
        """Of the features [f] of float32, as the dial is turned."""
        return turned(self.state.weights, len(self.state.experts), self.parameters.discovery)


def _ranked(xp: Any, found: Candidates, weights: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` candidates of the highest scores; equals by number, so by popularity."""
    scores = (found.features * weights.astype(xp.float64)).sum(axis=2).astype(xp.float32)
    scores = xp.where(found.allowed, scores, -xp.inf)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(found.tracks, order, 1), xp.take_along_axis(scores, order, 1)


def _gain(ndcg: Array, other: Array) -> tuple[float, bool]:
    """How much more one NDCG of the users [n] is than another, and whether beyond doubt.

    Doubt is the standard error of the mean difference, which a single user does not have.
    """
    gain = ndcg - other
    mean, spread, n = float(gain.mean()), float(gain.std()), len(gain)
    return mean, n > 1 and mean > spread / (n - 1) ** 0.5


class _Judge:
    """Fits blends of the candidates of some validation users, and measures them on folds."""

    def __init__(self, context: Context, found: Candidates, wanted: Csr, *, folds: int, k: int):
        self._engine, self._wanted, self._k, self._folds = context.engine, wanted, k, folds
        xp = context.engine.xp
        n, m = found.tracks.shape
        self._fold = xp.arange(n) % folds
        places = xp.repeat(xp.arange(n), m) * wanted.shape[1] + found.tracks.ravel()
        row = xp.searchsorted(wanted.indptr, xp.arange(wanted.nnz), side="right") - 1
        keys = row * wanted.shape[1] + wanted.indices
        hits = xp.minimum(xp.searchsorted(keys, places), max(wanted.nnz - 1, 0))
        hit = keys[hits] == places if wanted.nnz else xp.zeros(n * m, dtype=bool)
        self._streamed = hit.reshape(n, m)

    def fitted(self, found: Candidates, strength: float, but: int = -1) -> Array:
        """Weights [f] of float64 by all users but those of one fold."""
        chosen = self._streamed & found.allowed & (self._fold != but)[:, None]
        choices = Choices(found.features, found.allowed, chosen)
        return fit_logit(self._engine.xp, choices, strength)

    def by_folds(self, found: Candidates, strength: float) -> Array:
        """NDCG of each user [n] under the blend that the other folds say."""
        xp = self._engine.xp
        weights = xp.stack([self.fitted(found, strength, fold) for fold in range(self._folds)])
        mine = weights[self._fold][:, None]

        def rank(some: slice) -> tuple[Array, Array]:
            return _ranked(xp, found.take(some), mine[some], self._k)

        return self._ndcg(rank)

    def weights(self, found: Candidates, strength: float | None) -> tuple[Array, Array]:
        """Weights [f] by all users, and [folds, f] by all but a fold; without strength, by rank."""
        xp = self._engine.xp
        if strength is None:
            weights = by_rank(xp, found.features.shape[2])
            return weights, xp.tile(weights, (self._folds, 1))
        of_folds = [self.fitted(found, strength, fold) for fold in range(self._folds)]
        return self.fitted(found, strength), xp.stack(of_folds)

    def turned(self, found: Candidates, weights: Array) -> tuple[Array, Array]:
        """Lists [dials, n, k] of the users, and their NDCG [dials, n], at each of ``DIALS``.

        Parameters
        ----------
        weights : Array [folds, f] of float64
            By which each fold is ranked.
        """
        xp, n_experts = self._engine.xp, found.listed.shape[2] - 1

        def listed(dial: float) -> tuple[Array, Array]:
            mine = turned(weights, n_experts, dial)[self._fold][:, None]
            return self._listed(lambda some: _ranked(xp, found.take(some), mine[some], self._k))

        tracks, ndcg = zip(*map(listed, DIALS), strict=True)
        return xp.stack(tracks), xp.stack(ndcg)

    def alone(self, found: Candidates, place: int) -> Array:
        """NDCG of each user [n] under the lists of one expert: candidates by its rank."""
        xp = self._engine.xp
        weights = by_rank(xp, found.features.shape[2], place)
        return self._ndcg(lambda some: _ranked(xp, found.take(some), weights, self._k))

    def _ndcg(self, rank: Callable[[slice], tuple[Array, Array]]) -> Array:
        return self._listed(rank)[1]

    def _listed(self, rank: Callable[[slice], tuple[Array, Array]]) -> tuple[Array, Array]:
        """Lists [n, k] of the users, ranked batch by batch, and their NDCG [n]."""
        engine = self._engine
        tracks, _ = by_batches(engine.xp, len(self._fold), rank, size=_BATCH)
        return tracks, engine.rank_metrics(tracks, self._wanted, [self._k]).ndcg[0]
