"""ALDI: content that was taught by places how to recommend (Huang et al. 2023).

See :mod:`gpu_coldstart.models.aldi`.
"""

from __future__ import annotations

from typing import Any

from gpu_coldstart.config.competitors import AldiConfig
from gpu_coldstart.strategies.towers import ContentStrategy

__all__ = ["Aldi"]


class Aldi(ContentStrategy):
    """The tracks of the largest inner products in the student's space, which are the scores."""

    name = "aldi"
    label = "ALDI"
    Parameters = AldiConfig

    @classmethod
    def model(cls) -> Any:
        """See :meth:`ContentStrategy.model`."""
        from gpu_coldstart.models.aldi import AldiTraining

        return AldiTraining
