"""The stages of one embedding space, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpu_coldstart import segments, spaces
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.features import Inputs
from gpu_coldstart.models import Network
from gpu_coldstart.runs.making import Predictions, Prepared, Recommendations, Tables
from gpu_coldstart.runs.stages import Stage

__all__ = ["Learned"]


@dataclass(frozen=True)
class Learned:
    """The stages of one embedding space.

    Attributes
    ----------
    states : dict of strategy to Stage
        Of the strategies that learn something of their own.
    warm, examples, carousels : Stage or None
        None where they are not asked for.
    """

    space: Stage[spaces.Space]
    segments: Stage[segments.Segments]
    descriptions: Stage[Tables]
    inputs: Stage[Inputs]
    network: Stage[Network]
    predictions: Stage[Predictions]
    warm: Stage[Predictions] | None
    prepared: Stage[Prepared]
    states: dict[str, Stage[Any]]
    strategies: dict[str, Stage[Recommendations]]
    examples: Stage[Table] | None
    carousels: Stage[Tables] | None

    def __iter__(self) -> Iterator[Stage[Any]]:
        """All of them, each after its inputs."""
        yield from (self.space, self.segments, self.descriptions, self.inputs, self.network)
        yield self.predictions
        if self.warm is not None:
            yield self.warm
        yield self.prepared
        left = dict(self.states)
        for stage in self.strategies.values():
            for name in [name for name, state in left.items() if state in stage.inputs]:
                yield left.pop(name)
            yield stage
        if self.examples is not None:
            yield self.examples
        if self.carousels is not None:
            yield self.carousels
