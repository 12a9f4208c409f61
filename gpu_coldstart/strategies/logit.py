"""A multinomial logit over lists of candidates, by damped Newton steps (McFadden 1974)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpu_coldstart.batches import batches
from gpu_coldstart.engine.base import Array

__all__ = ["Choices", "fit_logit"]

_BATCH = 16  # users, so that their candidates stay in a processor's cache
_STEPS = 8  # Newton's; five from zero came to eight digits on blends of 27 features
_SIZES = 5  # of a step: 1, 1/4, 1/16 and so on, and none


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


def fit_logit(xp: Any, choices: Choices, strength: float) -> Array:
    """Weights w [f] of float64 that maximise the likelihood of what was chosen.

    The probability that user u takes candidate c is ``softmax(x_uc . w)`` over the user's own
    candidates. Minimises ``-mean_u sum_c y_uc log p_uc + strength |w|^2 / 2`` over the users who
    chose any, where y spreads a weight of 1 evenly over what user u chose. Where nobody chose
    any, the weights are 0.

    The number of steps does not depend on the data, so that nothing has to come to the host.
    """
    users = xp.flatnonzero(choices.chosen.any(axis=1))
    n, f = max(len(users), 1), choices.features.shape[2]
    # The likelihood is linear in the features of what was chosen: their sum says it all.
    chosen = xp.zeros(f)
    for x, _, mine in _parts(xp, choices, users):
        y = choices.chosen[mine] / choices.chosen[mine].sum(axis=1, keepdims=True)
        chosen += (y[:, None] @ x).sum(axis=(0, 1)) / n
    weights = xp.zeros(f)
    sizes = 0.25 ** xp.arange(_SIZES)
    sizes[-1] = 0
    for _ in range(_STEPS):
        gradient, hessian = strength * weights - chosen, strength * xp.eye(f)
        for x, barred, _ in _parts(xp, choices, users):
            scores = x @ weights + barred
            odds = xp.exp(scores - scores.max(axis=1, keepdims=True))
            shares = odds / odds.sum(axis=1, keepdims=True)
            expected = (shares[:, None] @ x)[:, 0]
            flat = x.reshape(-1, f)
            square = (flat * shares.reshape(-1, 1)).T @ flat
            gradient += expected.sum(axis=0) / n
            hessian += (square - expected.T @ expected) / n
        tried = weights - sizes[:, None] * xp.linalg.solve(hessian, gradient)
        losses = strength / 2 * (tried * tried).sum(axis=1) - tried @ chosen
        for x, barred, _ in _parts(xp, choices, users):
            scores = tried @ x.swapaxes(1, 2) + barred[:, None]  # users, sizes, candidates
            most = scores.max(axis=2, keepdims=True)
            normal = xp.log(xp.exp(scores - most).sum(axis=2)) + most[:, :, 0]
            losses += normal.sum(axis=0) / n
        weights = tried[losses.argmin()]
    return weights


def _parts(xp: Any, choices: Choices, users: Array) -> Iterator[tuple[Array, Array, Array]]:
    """By batches of some users: features, -inf for what there is not or 0, and which users."""
    for part in batches(len(users), _BATCH):
        mine = users[part]
        barred = xp.where(choices.allowed[mine], 0.0, -xp.inf)
        yield choices.features[mine].astype(xp.float64), barred, mine
