"""Names for people, where the tables have keys."""

from __future__ import annotations

__all__ = [
    "ARM_LABELS",
    "LABELS",
    "MEASURE_LABELS",
    "RATE_LABELS",
    "SHOWN",
    "SPACE_LABELS",
    "STRATA_LABELS",
    "arm_name",
    "space_name",
    "strategy_name",
]

LABELS = {
    "popularity": "Popularity",
    "registration-day": "Registration Day Streams",
    "input-features": "Input Features Clustering",
    "full": "Full-Pers.",
    "semi": "Semi-Pers.",
    "soft": "Soft Allocation",
}
"""Names of the strategies as the paper prints them."""

SPACE_LABELS = {"tt-svd": "TT-SVD", "ut-als": "UT-ALS"}
"""Names of the spaces likewise."""

MEASURE_LABELS = {"precision": "Precision", "recall": "Recall", "ndcg": "NDCG"}

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

RATE_LABELS = {
    "display-to-stream": "Display to stream",
    "display-to-favorite": "Display to favourite",
}

ARM_LABELS = {"default": "Default", "semi": "Semi-Pers.", "full": "Full-Pers."}
"""Names of the replay's arms."""


def space_name(space: str) -> str:
    """A space as the paper prints it; one that it does not know as it is."""
    return SPACE_LABELS.get(space, space)


def strategy_name(strategy: str) -> str:
    """A strategy likewise."""
    return LABELS.get(strategy, strategy)


def arm_name(arm: str) -> str:
    """An arm of the replay likewise."""
    return ARM_LABELS.get(arm, arm)
