"""The configuration with the settings of parts that installed packages add."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError, create_model

from gpu_coldstart import registry
from gpu_coldstart.config.base import Parameters
from gpu_coldstart.config.components import Training
from gpu_coldstart.config.parameters import Config, StrategiesConfig, strategy_fields
from gpu_coldstart.config.tuning import TuningConfig, trial_fields
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import section

__all__ = ["config_class", "json_schema"]


def config_class() -> type[Config]:
    """The configuration with sections for the parts that installed packages add.

    Raises
    ------
    UserError
        When an installed package is broken, or two of them want the same section or key.
    """
    return _extended(
        tuple(registry.SPACES.installed),
        tuple(registry.MODELS.installed),
        tuple(registry.STRATEGIES.installed),
    )


@cache
def _extended(
    spaces: tuple[str, ...], models: tuple[str, ...], strategies: tuple[str, ...]
) -> type[Config]:
    sections: dict[str, Any] = {}
    for parts, names, base in (
        (registry.SPACES, spaces, Parameters),
        (registry.MODELS, models, Training),
    ):
        for name in names:
            defaults = _defaults(parts, name, base)
            _free(section(name), {**Config.model_fields, **sections})
            sections[section(name)] = (type(defaults), defaults)
    ways: dict[str, Any] = {}
    for name in strategies:
        defaults = _defaults(registry.STRATEGIES, name, Parameters)
        for key, field in strategy_fields(name, type(defaults)).items():
            _free(key, {**StrategiesConfig.model_fields, **ways})
            ways[key] = field
    if ways:
        together = create_model("StrategiesConfig", __base__=StrategiesConfig, **ways)
        sections["strategies"] = (together, together())
    counts = trial_fields((*spaces, *models, *strategies))
    if counts:
        trials = create_model("TuningConfig", __base__=TuningConfig, **counts)
        sections["tuning"] = (trials, trials())
    return create_model("Config", __base__=Config, **sections) if sections else Config


def _defaults(parts: registry.Registry, name: str, base: type[Parameters]) -> Parameters:
    """The parameters of an installed part as they are when nobody sets them."""
    parameters = parts.get(name).Parameters
    if not (isinstance(parameters, type) and issubclass(parameters, base)):
        raise parts.broken(name, f"has Parameters that do not extend {base.__name__}")
    try:
        return parameters()
    except ValidationError as error:
        wrong = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
        reason = f"has parameters without a valid default ({', '.join(wrong)})"
        raise parts.broken(name, reason) from error


def _free(key: str, taken: dict[str, Any]) -> None:
    if key in taken:
        raise UserError(
            f"two parts claim the setting '{key}': uninstall one of the packages that add them"
        )


def json_schema() -> dict[str, Any]:
    """JSON schema of a configuration, the sections of installed packages included."""
    return config_class().model_json_schema()
