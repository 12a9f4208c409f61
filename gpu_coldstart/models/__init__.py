"""Networks from the input vector into a space, and the loop that trains them (3.2.3)."""

from gpu_coldstart.models.mlp import Mlp
from gpu_coldstart.models.training import (
    Network,
    check_batches,
    predict,
    predict_vectors,
    train,
    validation_targets,
)

__all__ = [
    "Mlp",
    "Network",
    "check_batches",
    "predict",
    "predict_vectors",
    "train",
    "validation_targets",
]
