"""Networks from the input vector into a space, and the loop that trains them (3.2.3)."""

from gpu_coldstart.models.mlp import Mlp
from gpu_coldstart.models.training import (
    Checkpoint,
    Network,
    TrainingState,
    check_batches,
    restore,
    train,
    validation_targets,
)

__all__ = [
    "Checkpoint",
    "Mlp",
    "Network",
    "TrainingState",
    "check_batches",
    "restore",
    "train",
    "validation_targets",
]
