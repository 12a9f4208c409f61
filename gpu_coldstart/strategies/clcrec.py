"""CLCRec: content contrasted with places that are learned (Wei et al. 2021).

See :mod:`gpu_coldstart.models.clcrec`.
"""

from __future__ import annotations

from typing import Any

from gpu_coldstart.config.competitors import ClcRecConfig
from gpu_coldstart.strategies.towers import ContentStrategy

__all__ = ["ClcRec"]


class ClcRec(ContentStrategy):
    """The tracks of the largest inner products with the user's encoded content."""

    name = "clcrec"
    label = "CLCRec"
    Parameters = ClcRecConfig

    @classmethod
    def model(cls) -> Any:
        """See :meth:`ContentStrategy.model`."""
        from gpu_coldstart.models.clcrec import ClcRecTraining

        return ClcRecTraining
