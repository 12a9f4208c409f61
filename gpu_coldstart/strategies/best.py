"""Best: the lists of several strategies, and the user's own signals, blended as users chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.components import BestConfig
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.candidates import Candidates, Makers, candidates, makers
from gpu_coldstart.strategies.logit import Choices, fit_logit

__all__ = ["Best"]

_BATCH = 512  # users whose candidates are held at once
_LISTED = 50  # length of the validation users' lists, as in the paper
_FEWEST = 10  # validation users that are worth learning from in the curve


@dataclass(frozen=True)
class Blend:
    """A multinomial logit over candidates.

    Attributes
    ----------
    weights : Array [f] of float32
        Of each feature of :class:`~gpu_coldstart.strategies.candidates.Candidates`.
    artists, albums : Array [tracks] of int32
        Who made each track, as :class:`~gpu_coldstart.strategies.candidates.Makers` has it.
    experts : tuple of str
        Those that are blended.
    alone : bool
        Whether there is one, whose lists are taken as they are, as no blend was better.
    curve : tuple of float
        NDCG on folds of the validation users for each strength tried.
    tried : tuple of str
        The strategies that could be blended, the first to be tried without in front.
    added : tuple of float
        What NDCG on the folds lost without each of them, when its turn came.
    users : tuple of int
        Numbers of validation users that the blend was also learned from.
    reached : tuple of float
        NDCG on the folds that it came to with each.
    single : float
        That of the best expert alone, which learns nothing from them here.
    """

    weights: Array
    artists: Array
    albums: Array
    experts: tuple[str, ...] = ()
    alone: bool = False
    curve: tuple[float, ...] = ()
    tried: tuple[str, ...] = ()
    added: tuple[float, ...] = ()
    users: tuple[int, ...] = ()
    reached: tuple[float, ...] = ()
    single: float = 0.0


class Best(Strategy):
    """Candidates of all experts in the order in which a logit says that the user streams them.

    Candidates are the first tracks of each expert (``strategies.best_experts``), what the user
    streamed on registration day, and the chart. A multinomial logit weighs how each expert ranks
    and scores a candidate, its popularity, and what the user did that day with the track, its
    artist and its album. It learns from validation users alone; the strength of its regularisation
    is chosen by folds of them. Then each expert, the worst first, is left out if on these folds the
    others do as well without it, within the standard error of the difference. If the blend does
    not beat the best single expert by more than that, this expert's lists are taken.
    """

    name = "best"
    label = "Best"
    uses_prediction = False
    State = Blend

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
        told = count()
        steps = len(parameters.strengths) + len(experts) + 2

        def say(words: str) -> None:
            progress(next(told), steps, words)

        say("candidates")
        found = candidates(context, users, experts, made, k).packed(engine.xp)
        judge = _Judge(context, found, wanted, folds=parameters.folds, k=k)
        single = {name: judge.alone(found, place) for place, name in enumerate(experts)}
        means = {name: float(each.mean()) for name, each in single.items()}
        trials = _trials(judge, found, parameters.strengths, say)
        curve = tuple(float(each.ndcg.mean()) for each in trials)
        best = curve.index(max(curve))
        strength = parameters.strengths[best]
        kept, added, blend = _thinned(judge, trials[best], strength, means, say)
        say("number of validation users")
        learned = judge.learning(blend, strength)
        weights = judge.fitted(blend.found, strength, blend.weights.mean(axis=0))
        strongest = max(means, key=means.__getitem__)
        _, helps = _gain(blend.ndcg, single[strongest])
        return Blend(
            weights.astype(engine.xp.float32),
            made.artists,
            made.albums,
            experts=kept if helps else (strongest,),
            alone=not helps,
            curve=curve,
            tried=tuple(added),
            added=tuple(added.values()),
            users=tuple(learned),
            reached=tuple(learned.values()),
            single=means[strongest],
        )

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        state = self.state
        experts = {name: self._experts[name] for name in state.experts}
        if state.alone:
            return next(iter(experts.values())).recommend(users, k)
        made = Makers(state.artists, state.albums)

        def ranked(some: slice) -> tuple[Array, Array]:
            found = candidates(self.context, users.take(some), experts, made, k)
            return _ranked(self.context.engine.xp, found, state.weights, k)

        return Ranking(*by_batches(self.context.engine.xp, len(users), ranked, size=_BATCH))


def _ranked(xp: Any, found: Candidates, weights: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` candidates of the highest scores; equals by number, so by popularity."""
    scores = (found.features * weights.astype(xp.float64)).sum(axis=2).astype(xp.float32)
    scores = xp.where(found.allowed, scores, -xp.inf)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(found.tracks, order, 1), xp.take_along_axis(scores, order, 1)


@dataclass(frozen=True)
class _Judged:
    """A blend as the folds see it: candidates, NDCG of each user [n], weights [folds, f]."""

    found: Candidates
    ndcg: Array
    weights: Array


def _trials(
    judge: _Judge, found: Candidates, strengths: Sequence[float], say: Callable[[str], None]
) -> list[_Judged]:
    """The blend by each strength, each from the weights of the one before."""
    trials: list[_Judged] = []
    for strength in strengths:
        trials.append(judge.by_folds(found, strength, trials[-1].weights if trials else None))
        say(f"strength {strength:g}: NDCG {float(trials[-1].ndcg.mean()):.4f}")
    return trials


def _thinned(
    judge: _Judge,
    blend: _Judged,
    strength: float,
    single: Mapping[str, float],
    say: Callable[[str], None],
) -> tuple[tuple[str, ...], dict[str, float], _Judged]:
    """The experts that are kept, what each of all added, and the blend of the former.

    Parameters
    ----------
    single : dict of name to float
        NDCG of each expert alone, in the order of the candidates' features.
    """
    kept, added = list(single), {}
    for name in sorted(single, key=single.__getitem__):
        rest = [place for place, other in enumerate(kept) if other != name]
        weights = blend.weights[:, blend.found.columns_of(rest)]
        without = judge.by_folds(blend.found.of(rest), strength, weights)
        added[name], helps = _gain(blend.ndcg, without.ndcg)
        if not helps:
            kept, blend = [kept[place] for place in rest], without
        say(f"{name} adds {added[name]:+.4f}: {'kept' if helps else 'left out'}")
    return tuple(kept), added, blend


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
        return fit_logit(self._engine.xp, choices, strength, start)

    def by_folds(
        self,
        found: Candidates,
        strength: float,
        start: Array | None = None,
        most: int | None = None,
    ) -> _Judged:
        """The blend by which each fold is ranked as ``most`` users of the others say, or all.

        Parameters
        ----------
        start : Array [folds, f] of float64
            A first guess at the weights.
        """
        xp = self._engine.xp
        starts = [None] * self._folds if start is None else start
        weights = xp.stack(
            [
                self.fitted(found, strength, starts[fold], but=fold, most=most)
                for fold in range(self._folds)
            ]
        )
        mine = weights[self._fold][:, None]
        ndcg = self._ndcg(lambda some: _ranked(xp, found.take(some), mine[some], self._k))
        return _Judged(found, ndcg, weights)

    def learning(self, blend: _Judged, strength: float) -> dict[int, float]:
        """NDCG by the number of users that a blend was learned from: all, half of them and so on.

        The strength is that of all, which is more than few users would ask for.
        """
        n = len(self._fold)
        most = n - n // self._folds
        reached = {most: float(blend.ndcg.mean())}
        while (most := most // 2) >= _FEWEST:
            fewer = self.by_folds(blend.found, strength, most=most)
            reached[most] = float(fewer.ndcg.mean())
        return dict(sorted(reached.items()))

    def alone(self, found: Candidates, place: int) -> Array:
        """NDCG of each user [n] under the lists of one expert: candidates by its rank."""
        xp = self._engine.xp
        weights = xp.zeros(found.features.shape[2])
        weights[2 * place + 1] = 1
        return self._ndcg(lambda some: _ranked(xp, found.take(some), weights, self._k))

    def _ndcg(self, rank: Callable[[slice], tuple[Array, Array]]) -> Array:
        engine = self._engine
        tracks, _ = by_batches(engine.xp, len(self._fold), rank, size=_BATCH)
        measured: Array = engine.rank_metrics(tracks, self._wanted, [self._k]).ndcg[0]
        return measured
