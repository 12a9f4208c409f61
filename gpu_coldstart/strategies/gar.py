"""GAR: content from which an adversary of the recommender makes places (Chen et al. 2022).

See :mod:`gpu_coldstart.models.gar`.
"""

from __future__ import annotations

from typing import Any

from gpu_coldstart.config.competitors import GarConfig
from gpu_coldstart.strategies.towers import ContentStrategy

__all__ = ["Gar"]


class Gar(ContentStrategy):
    """The tracks of the largest inner products with the generated place, for the recommender."""

    name = "gar"
    label = "GAR"
    Parameters = GarConfig

    @classmethod
    def model(cls) -> Any:
        """See :meth:`ContentStrategy.model`."""
        from gpu_coldstart.models.gar import GarTraining

        return GarTraining
