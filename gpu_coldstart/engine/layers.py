"""Layers of networks that PyTorch does not have and engines know."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["UnitLength", "product_type"]


class UnitLength(nn.Module):
    """Scales vectors [n, d] to length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of the same direction."""
        return nn.functional.normalize(vectors, dim=1)


def product_type(vectors: torch.Tensor) -> torch.dtype:
    """What factors of products with these vectors are rounded to, by :class:`torch.autocast`."""
    kind = vectors.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else vectors.dtype
