"""Relations of users to tracks in a metric space, one a file, and scores by them."""

from gpu_coldstart.spaces.relations.attcml import AttCml
from gpu_coldstart.spaces.relations.base import Pairs, Relation, apart
from gpu_coldstart.spaces.relations.hlr import Hlr
from gpu_coldstart.spaces.relations.hlr_plus import HlrPlus
from gpu_coldstart.spaces.relations.lrml import Lrml
from gpu_coldstart.spaces.relations.transcf import TransCf

__all__ = ["RELATIONS", "Pairs", "Relation", "apart"]

RELATIONS: dict[str, type[Relation]] = {
    "none": Relation,
    "lrml": Lrml,
    "attcml": AttCml,
    "transcf": TransCf,
    "hlr": Hlr,
    "hlr++": HlrPlus,
}
"""By their names in ``hlr.relation``."""
