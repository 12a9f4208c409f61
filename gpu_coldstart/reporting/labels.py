"""Names for people, where the tables have keys."""

from __future__ import annotations

from gpu_coldstart.registry import SPACES, STRATEGIES

__all__ = [
    "ARM_LABELS",
    "MEASURE_LABELS",
    "RATE_LABELS",
    "SHOWN",
    "SIZE_LABELS",
    "STRATA_LABELS",
    "arm_name",
    "space_name",
    "strategy_name",
]

MEASURE_LABELS = {
    "precision": "Precision",
    "recall": "Recall",
    "ndcg": "NDCG",
    "textbook_precision": "Textbook precision",
    "map": "MAP",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
}

SHOWN = "precision"
"""The measure of Figure 4."""

STRATA_LABELS = {
    "onboarding_artists": "Artists liked at onboarding",
    "streams": "Tracks streamed",
    "skips": "Tracks skipped",
    "interactions": "All interactions",
    "country": "Country",
    "age": "Age",
}
"""What users are grouped by."""

SIZE_LABELS = {
    "events": "Events on the registration day",
    "tracks": "Tracks to be found",
}
"""What there is a histogram of."""

RATE_LABELS = {
    "display-to-stream": "Display to stream",
    "display-to-favorite": "Display to favourite",
}

ARM_LABELS = {"default": "Default", "semi": "Semi-Pers.", "full": "Full-Pers."}
"""Names of the replay's arms."""


def space_name(space: str) -> str:
    """A space as the paper prints it; one that the paper does not have keeps its name."""
    return SPACES.label(space)


def strategy_name(strategy: str) -> str:
    """A strategy, likewise."""
    return STRATEGIES.label(strategy)


def arm_name(arm: str) -> str:
    """An arm of the replay likewise."""
    return ARM_LABELS.get(arm, arm)
