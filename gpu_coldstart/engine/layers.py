"""Layers of networks that PyTorch does not have and engines know."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["UnitLength"]


class UnitLength(nn.Module):
    """Scales vectors [n, d] to length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of the same direction."""
        return nn.functional.normalize(vectors, dim=1)
