"""A model that is fitted on the tests' tables, with the settings of the tests' runs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart import ColdStart, Dataset
from tests.builtin import EVERY_STRATEGY
from tests.runs.helpers import SIZES, Tables

SPACE = "tt-svd"


def sections() -> dict[str, Any]:
    """The settings of the tests' runs, as ``ColdStart`` takes them."""
    nested: dict[str, Any] = {"preset": "tiny"}
    for key, value in SIZES.items():
        section, name = key.split(".")
        nested.setdefault(section, {})[name] = value
    nested.setdefault("strategies", {})["names"] = EVERY_STRATEGY
    return nested


def fitted(tables: Tables, engine: str = "cpu") -> ColdStart:
    return ColdStart(space=SPACE, engine=engine, **sections()).fit(Dataset.from_frames(**tables))


def first_day(tables: Tables, cohort: str) -> tuple[pa.Table, pa.Table]:
    """Users of a cohort, and all their events of the day they registered."""
    users = tables["users"].filter(pc.equal(tables["users"]["split"], cohort))
    joined = tables["interactions"].join(
        users.select(["user_id", "registered_at"]), "user_id", join_type="inner"
    )
    days = (pc.floor_temporal(joined[name], unit="day") for name in ("timestamp", "registered_at"))
    return users.drop_columns(["split"]), joined.filter(pc.equal(*days))
