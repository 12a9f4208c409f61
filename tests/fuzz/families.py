"""All families of trials."""

from __future__ import annotations

from tests.fuzz.artifacts import ARTIFACTS
from tests.fuzz.command_line import COMMAND_LINE
from tests.fuzz.configuration import CONFIGURATION
from tests.fuzz.sounds import SOUNDS
from tests.fuzz.tables import TABLES

FAMILIES = {
    family.name: family for family in (TABLES, ARTIFACTS, CONFIGURATION, COMMAND_LINE, SOUNDS)
}
