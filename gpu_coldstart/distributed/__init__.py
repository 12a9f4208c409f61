"""The same method on logs that fit no machine, by Apache Spark (extra ``spark``).

Spark validates and counts interactions where they lie, and may learn spaces and segments there;
everything else goes on from the counts as on one machine, with the same results. Recommending is
spread over executors, each with the bundle.
"""

from gpu_coldstart.distributed.dataset import SparkDataset
from gpu_coldstart.distributed.recommending import recommend
from gpu_coldstart.distributed.sessions import refused, session

__all__ = ["SparkDataset", "recommend", "refused", "session"]
