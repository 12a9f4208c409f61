"""What strategies made of others learned, as the rows of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpu_coldstart.strategies.blending import Blending

__all__ = ["experts", "taught", "weights"]


def experts(blending: Blending) -> Iterator[dict[str, Any]]:
    """What each expert added."""
    for name, added, kept in blending.experts:
        yield {"expert": name, "added": added, "kept": kept}


def taught(blending: Blending) -> Iterator[dict[str, Any]]:
    """How good the blend is by the number of users who teach it."""
    for users, ndcg in blending.taught:
        yield {"users": users, "ndcg": ndcg, "single": blending.single}


def weights(blending: Blending) -> Iterator[dict[str, Any]]:
    """What its lists are ordered by."""
    for (part, feature), weight in zip(blending.weighed, blending.weights, strict=True):
        yield {**part._asdict(), "feature": feature, "weight": float(weight)}
