"""Heater: a mixture of experts stands in for a new user's place (Zhu et al. 2020).

See :mod:`gpu_coldstart.models.heater`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_coldstart.config.competitors import HeaterConfig
from gpu_coldstart.engine.base import Array, Feedforward
from gpu_coldstart.strategies.base import Users
from gpu_coldstart.strategies.towers import ContentStrategy

__all__ = ["Heater", "HeaterState"]


@dataclass(frozen=True)
class HeaterState:
    """Both towers, and what comes before that of the users.

    Attributes
    ----------
    tower : Feedforward
        From what stands in for a place in the warm space to the towers' space.
    tracks : Array [tracks, d] of float32
        Places there.
    experts : Feedforward
        From an input vector to the numbers of one expert after the other, and then the gate's.
    curve : tuple of float
        NDCG of the validation users after each epoch.
    """

    tower: Feedforward
    tracks: Array
    experts: Feedforward
    curve: tuple[float, ...] = ()


class Heater(ContentStrategy):
    """The tracks of the largest inner products in the towers' space, which are the scores."""

    name = "heater"
    label = "Heater"
    Parameters = HeaterConfig
    State = HeaterState

    @classmethod
    def model(cls) -> Any:
        """See :meth:`ContentStrategy.model`."""
        from gpu_coldstart.models.heater import HeaterTraining

        return HeaterTraining

    def located(self, users: Users) -> Array:
        """See :meth:`TowerStrategy.located`."""
        engine, xp = self.context.engine, self.context.engine.xp
        values = xp.tanh(engine.feed_forward(self.state.experts, users.vectors()))
        n, d = self.parameters.experts, self.state.tower.inputs
        experts = values[:, : n * d].reshape(len(values), n, d)
        # One after the other: a library's sum might depend on how many users there are.
        mixed = sum(values[:, n * d + each, None] * experts[:, each] for each in range(n))
        return engine.feed_forward(self.state.tower, xp.tanh(mixed))
