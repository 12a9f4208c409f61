"""A multinomial logit over lists of candidates, by damped Newton steps (McFadden 1974)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_coldstart.engine.base import Array, Engine

__all__ = ["Choices", "fit_logit"]

_STEPS = 8  # Newton's from zero; five came to eight digits on blends of 27 features
_FEWER = 4  # from the weights of much the same problem


@dataclass(frozen=True)
class Choices:
    """What users could choose among, and what they chose.

    Attributes
    ----------
    features : Array [users, candidates, f] of float32
    allowed : Array [users, candidates] of bool
        Whether there is such a candidate.
    chosen : Array [users, candidates] of bool
        Whether the user chose it.
    """

    features: Array
    allowed: Array
    chosen: Array


def fit_logit(
    engine: Engine, choices: Choices, strength: float, start: Array | None = None
) -> Array:
    """Weights w [f] of float64 that maximise the likelihood of what was chosen.

    The probability that user u takes candidate c is ``softmax(x_uc . w)`` over the user's own
    candidates. Minimises ``-mean_u sum_c y_uc log p_uc + strength |w|^2 / 2`` over the users who
    chose any, where y spreads a weight of 1 evenly over what user u chose. Where nobody chose
    any, the weights are 0.

    The number of steps does not depend on the data, so that nothing has to come to the host. A
    step that makes things worse is taken again from where it began, a quarter as long.

    Parameters
    ----------
    engine : Engine
    choices : Choices
    strength : float
    start : Array [f] of float64
        Weights of much the same problem, from which fewer steps lead to the minimum.
    """
    xp = engine.xp
    users = xp.flatnonzero(choices.chosen.any(axis=1))
    n, f = max(len(users), 1), choices.features.shape[2]

    def picked(some: slice) -> tuple[Array]:
        mine = users[some]
        y = choices.chosen[mine] / choices.chosen[mine].sum(axis=1, keepdims=True)
        return ((y[:, None] @ choices.features[mine]).sum(axis=0),)

    def terms(some: slice) -> tuple[Array, Array, Array]:
        mine = users[some]
        x = choices.features[mine].astype(xp.float64)
        scores = x @ tried + xp.where(choices.allowed[mine], 0.0, -xp.inf)
        most = scores.max(axis=1, keepdims=True)
        odds = xp.exp(scores - most)
        total = odds.sum(axis=1, keepdims=True)
        shares = odds / total
        expected = (shares[:, None] @ x)[:, 0]
        flat = x.reshape(-1, f)
        square = (flat * shares.reshape(-1, 1)).T @ flat
        return (
            (xp.log(total) + most).sum(axis=0),
            expected.sum(axis=0, keepdims=True),
            (square - expected.T @ expected)[None],
        )

    def summed(make: Callable[[slice], tuple[Array, ...]]) -> tuple[Array, ...]:
        made = engine.by_batches(len(users), make, size=engine.users_at_once)
        return tuple(each.sum(axis=0) / n for each in made)

    # The likelihood is linear in the features of what was chosen: their sum says it all.
    (chosen,) = summed(picked)
    tried = weights = xp.zeros(f) if start is None else start
    least, step, size = xp.full((), xp.inf), xp.zeros(f), xp.ones(())
    for _ in range(_STEPS if start is None else _FEWER):
        cost, pull, curvature = summed(terms)
        loss = strength / 2 * (tried @ tried) - tried @ chosen + cost
        gradient = strength * tried - chosen + pull
        hessian = strength * xp.eye(f) + curvature
        better = loss <= least
        least, weights = xp.where(better, loss, least), xp.where(better, tried, weights)
        step = xp.where(better, xp.linalg.solve(hessian, gradient), step)
        size = xp.where(better, 1.0, size / 4)
        tried = weights - size * step
    return weights
