"""gpu_coldstart: what a streaming service recommends on the day a new user signs up.

The package implements the semi-personalised system for user cold start of Briand et al.
(KDD 2021), end to end: embedding spaces of warm users, segments, the registration-day input
vector, the network that maps it into the space, the ways to recommend, and their evaluation.

``Dataset`` is the past, ``ColdStart`` the fitted system; ``python -m gpu_coldstart.run``
measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_coldstart.coldstart import ColdStart
    from gpu_coldstart.data.dataset import Dataset

__all__ = ["ColdStart", "Dataset", "__version__"]

__version__ = "0.1.0"

_PLACES = {"ColdStart": "gpu_coldstart.coldstart", "Dataset": "gpu_coldstart.data.dataset"}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line shows its help without PyTorch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'gpu_coldstart' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
