"""Every parameter of a run, validated; presets, protocols, TOML in and out."""

from gpu_coldstart.config.base import Parameters
from gpu_coldstart.config.components import Training
from gpu_coldstart.config.installed import json_schema
from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import from_toml, resolve, to_toml

__all__ = [
    "Config",
    "Parameters",
    "Training",
    "flat",
    "from_toml",
    "json_schema",
    "resolve",
    "to_toml",
]
