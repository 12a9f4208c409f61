"""Networks from the input vector into a space, and the loop that trains them (3.2.3)."""

from gpu_coldstart.models.mlp import Mlp
from gpu_coldstart.models.training import Network, predict, train

__all__ = ["Mlp", "Network", "predict", "train"]
