"""Best: the lists of several strategies, and the user's own signals, blended as users chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.components import BestConfig
from gpu_coldstart.engine.base import Array
from gpu_coldstart.registry import STRATEGIES
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.blending import Blending, Expert, Part
from gpu_coldstart.strategies.candidates import Candidates, Makers, candidates, makers
from gpu_coldstart.strategies.discovery import TradeOff, turned
from gpu_coldstart.strategies.judge import Judge, gain, ranked
from gpu_coldstart.strategies.parts import parts, shares_of_parts, weighed
from gpu_coldstart.strategies.tuning import LISTED

__all__ = ["Best"]

_BATCH = 512  # users whose candidates are held at once


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
    trade_off: TradeOff
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

    ``strategies.best_discovery`` adds as many times the logarithm of the popularity rank to a
    candidate's score. A single expert's is then the logarithm of ``101 / rank``.
    """

    name = "best"
    label = "Best"
    taught = True
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
        made, k = makers(engine, past.logs), min(LISTED, context.n_tracks)
        told = count()
        steps = len(parameters.strengths) + len(experts) + 2

        def say(words: str) -> None:
            progress(next(told), steps, words)

        say("candidates")
        found = candidates(context, users, experts, made, k)
        judge = Judge(engine, found, wanted, folds=parameters.folds, k=k)
        trials = judge.trials(found, parameters.strengths, say)
        curve = tuple(each.mean for each in trials)
        best = curve.index(max(curve))
        strength = parameters.strengths[best]
        single = {name: judge.alone(found, place) for place, name in enumerate(experts)}
        means = {name: each.mean for name, each in single.items()}
        kept, added, blend = judge.thinned(trials[best], strength, means, say)
        say("number of validation users")
        learned = judge.learning(blend, strength)
        strongest = max(means, key=means.__getitem__)
        _, helps = gain(blend.ndcg, single[strongest].ndcg)
        if helps:
            weights = judge.fitted(blend.found, strength, blend.weights.mean(axis=0))
        else:
            kept, blend = (strongest,), single[strongest]
            weights = blend.weights[0]
        return Blend(
            weights.astype(engine.xp.float32),
            made.artists,
            made.albums,
            TradeOff(rows, *judge.turned(blend)),
            experts=kept,
            alone=not helps,
            curve=curve,
            tried=tuple(added),
            added=tuple(added.values()),
            users=tuple(learned),
            reached=tuple(learned.values()),
            single=means[strongest],
        )

    @classmethod
    def served(cls, state: Blend) -> Blend:
        """See :meth:`Strategy.served`."""
        return replace(state, trade_off=state.trade_off.of_nobody())

    @classmethod
    def blending(cls, state: Blend) -> Blending:
        """See :meth:`Strategy.blending`."""
        pairs = zip(state.tried, state.added, strict=True)
        return Blending(
            experts=tuple(Expert(name, added, name in state.experts) for name, added in pairs),
            taught=tuple(zip(state.users, state.reached, strict=True)),
            single=state.single,
            weighed=weighed(STRATEGIES.label(name) for name in state.experts),
            weights=state.weights,
            trade_off=state.trade_off,
        )

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        if self.state.alone and not self.parameters.discovery:
            return self._experts[self.state.experts[0]].recommend(users, k)

        def listed(some: slice) -> tuple[Array, Array]:
            found = self._candidates(users.take(some), k)
            return ranked(self.context.engine.xp, found, self._weights(), k)

        return Ranking(*by_batches(self.context.engine.xp, len(users), listed, size=_BATCH))

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
