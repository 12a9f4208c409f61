"""Build a configuration from presets, protocols, data sets, TOML files and single settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import ValidationError

from gpu_coldstart import registry
from gpu_coldstart.config.base import Parameters
from gpu_coldstart.config.installed import config_class
from gpu_coldstart.config.parameters import PRESETS, PROTOCOLS, Config, flat
from gpu_coldstart.config.problems import shown, unknown, worded
from gpu_coldstart.datasets.synthetic.world import PRESETS as WORLDS
from gpu_coldstart.datasets.synthetic.world import World
from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import read_bytes

__all__ = ["adjusted", "from_toml", "part", "resolve", "to_toml"]

P = TypeVar("P", bound=Parameters)

_PRESET_VALUES: dict[str, dict[str, Any]] = {
    "tiny": {
        "ut_als.factors": 32,
        "ut_als.iterations": 5,
        "tt_svd.dimension": 24,
        "tt_svd.min_count": 1,
        "tt_svd.oversamples": 10,
        "cml.dimension": 24,
        "hlr.dimension": 24,
        "hlr.batch_size": 64,
        "mlp.epochs": 5,
        "mlp.epochs_tt_svd": 5,
        "mlp.epochs_ut_als": 5,
        "mlp.batch_size": 64,
        "strategies.input_features_k": 10,
        "evaluation.bootstrap": 200,
    },
    "small": {"mlp.batch_size": 256},
    "paper": {"evaluation.protocol": "paper"},
}
"""Sizes, and the settings that must be smaller in a smaller world."""

_PROTOCOL_VALUES: dict[str, dict[str, Any]] = {
    "own": {},
    # What the paper states; where it is silent, ours.
    "paper": {
        "features.scalars": "raw",
        "mlp.learning_rate": 1e-4,
        "mlp.epochs": 100,
        "mlp.epochs_tt_svd": 100,
        "mlp.epochs_ut_als": 130,
        "mlp.patience": 0,
    },
    # What its released code does, but for defects.
    "release": {
        "segments.iterations": 20,
        "segments.restarts": 10,
        "segments.seeding_points": 0,
        "segments.popularity": "listens",
        "segments.popularity_days": 30,
        "features.pooling": "events",
        "features.scalars": "raw",
        "mlp.normalize_output": True,
        "mlp.optimizer": "adam",
        "mlp.learning_rate": 1e-5,
        "mlp.weight_decay": 0.0,
        "mlp.drop_last": True,
        "mlp.epochs": 130,
        "mlp.epochs_tt_svd": 130,
        "mlp.epochs_ut_als": 130,
        "mlp.patience": 0,
        "strategies.similarity": "inner",
        "strategies.registration_day_fallback": "none",
        "strategies.input_features_points": 0,
        "evaluation.deviation": "repeated",
    },
}
"""Methods. Where a preset sets the same key (the epochs), the protocol's value wins."""

_DATASET_VALUES: dict[str, dict[str, Any]] = {"tafeng": {"split.min_truth": 10}}


def resolve(
    *,
    dataset: str = "synthetic",
    preset: str = "small",
    files: Iterable[Path] = (),
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Build a run's configuration: preset, protocol, data set, files, single settings.

    Each overrides those before it. The preset ``paper`` implies the protocol ``paper``, unless a
    file or a setting names another.

    Parameters
    ----------
    dataset, preset : str
        A file that names its own overrides these.
    files : paths of TOML files
        Later ones override earlier ones.
    settings : mapping of dotted key to value
        Strings are read as TOML where that gives the key's type, else taken literally.

    Raises
    ------
    UserError
        For unknown keys and wrong or impossible values: all at once, each with its key, the file
        it is in and the remedy.

    Examples
    --------
    >>> resolve(preset="tiny", settings={"segments.k": "7"}).segments.k
    7
    """
    kind = config_class()
    plain = kind()
    defaults = flat(plain)
    sections = {name for name, value in plain if isinstance(value, Parameters | World)}
    values: dict[str, Any] = {"dataset": dataset, "preset": preset}
    origins: dict[str, Path] = {}
    for path in files:
        for key, value in from_toml(path).items():
            if value != {} or key not in sections:  # a section may be empty
                values[key], origins[key] = value, path
    for key, value in (settings or {}).items():
        values[key] = _read(key, value, defaults.get(key))
        origins.pop(key, None)
    if isinstance(values.get("data"), str) and values["data"]:
        # Absolute, so that the run's config.toml means the same wherever it is read.
        values["data"] = str(_expanded(values["data"]).absolute())
    problems = {key: unknown(key, defaults) for key in values if key not in defaults}
    values = {key: value for key, value in values.items() if key in defaults}
    tree: dict[str, Any] = {}
    for key, value in (_implied(values) | values).items():
        section, _, name = key.rpartition(".")
        tree.setdefault(section, {})[name] = _listed(value, defaults[key])
    try:
        config = kind(**tree.pop(""), **tree)
    except ValidationError as error:
        problems |= worded(error, defaults)
    if problems:
        raise UserError(_listing(problems, origins))
    return config


def part(kind: type[P], settings: Mapping[str, Any]) -> P:
    """Parameters that are no part of a run's; strings are read as :func:`resolve` reads them.

    Raises
    ------
    UserError
        As from :func:`resolve`.

    Examples
    --------
    >>> from gpu_coldstart.config.metric import CmlConfig
    >>> part(CmlConfig, {"dimension": "32"}).dimension
    32
    """
    defaults = dict(kind())
    values = {key: _read(key, value, defaults.get(key)) for key, value in settings.items()}
    problems = {key: unknown(key, defaults) for key in values if key not in defaults}
    try:
        made = kind(**{key: value for key, value in values.items() if key in defaults})
    except ValidationError as error:
        problems |= worded(error, defaults)
    if problems:
        raise UserError(_listing(problems, {}))
    return made


def _listing(problems: Mapping[str, str], origins: Mapping[str, Path]) -> str:
    """The sentences about wrong keys, each with the file that the key is in."""
    sentences = [
        f"{sentence} (in {origins[key]})" if key in origins else sentence
        for key, sentence in problems.items()
    ]
    start = f"{len(sentences)} settings are wrong: " if len(sentences) > 1 else ""
    return start + "; ".join(sentences)


def _expanded(data: str) -> Path:
    """A path whose ``~`` is a home directory."""
    try:
        return Path(data).expanduser()
    except RuntimeError as error:  # there is no such user
        raise UserError(
            f"setting 'data' is {shown(data)}, and no home directory is known for it: write the "
            "whole path, or ./~ for a directory of such a name"
        ) from error


def _implied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that follow from the preset, the protocol and the data set.

    An impossible name implies nothing; it is refused with everything else.
    """
    preset = _one("preset", values, PRESETS, "small")
    implied = {f"world.{name}": value for name, value in vars(WORLDS[preset]).items()}
    implied |= _PRESET_VALUES[preset]
    protocol = _one("evaluation.protocol", implied | dict(values), PROTOCOLS, "own")
    implied |= _PROTOCOL_VALUES[protocol]
    dataset = _one("dataset", values, registry.DATASETS.names(), "synthetic")
    return implied | _DATASET_VALUES.get(dataset, {})


def _one(key: str, values: Mapping[str, Any], names: tuple[str, ...], default: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) and value in names else default


def _read(key: str, value: Any, default: Any) -> Any:
    """A command-line value: TOML if it parses, else a comma-separated list or a bare string."""
    if not isinstance(value, str):
        return value
    if isinstance(default, tuple):
        parsed = _parse(key, value)
        if isinstance(parsed, str):
            return [_parse(key, part.strip()) for part in parsed.split(",") if part.strip()]
        return parsed
    parsed = _parse(key, value)
    # A directory may be called 2020 or true.
    return value if isinstance(default, str) and not isinstance(parsed, str) else parsed


def _parse(key: str, value: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    except (ValueError, RecursionError) as error:  # Python's limits on digits and on depth
        raise UserError(
            f"setting '{key}' is {shown(value)}, too long or too deeply nested to read: give a "
            "plain value"
        ) from error
    return tree["value"] if len(tree) == 1 else value


def _listed(value: Any, default: Any) -> Any:
    """A single value where a list is due is a list of one."""
    if not isinstance(default, tuple) or isinstance(value, list | tuple | dict):
        return value
    return [value]


def adjusted(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with other values of some keys, validated as usual.

    Examples
    --------
    >>> adjusted(Config(), {"seed": 1, "segments.k": 7}).segments.k
    7
    """
    tree: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        part, _, name = key.rpartition(".")
        tree.setdefault(part, {})[name] = value
    plain = tree.pop("", {})
    return config.replace(
        **plain, **{part: getattr(config, part).replace(**values) for part, values in tree.items()}
    )


def to_toml(config: Config) -> str:
    """The whole configuration as TOML text, readable by :func:`resolve` again.

    The synthetic world is left out where the data come from elsewhere.
    """
    tree = config.model_dump()
    if config.dataset != "synthetic":
        del tree["world"]
    return tomli_w.dumps(tree)


def from_toml(path: Path) -> dict[str, Any]:
    """Dotted keys and values of a TOML file.

    A relative ``data`` is relative to the file.

    Raises
    ------
    UserError
        When the file is missing, is not TOML, or has sections within sections.
    """
    try:
        tree = tomllib.loads(read_bytes(path).decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"config file {path} cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"config file {path} is not TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        utf8 = isinstance(error, UnicodeDecodeError)
        reason = "it is no text in UTF-8" if utf8 else "a value is too long or too deeply nested"
        raise UserError(f"config file {path} is not TOML: {reason}") from error
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(value, dict) or not value:
            values[key] = value
            continue
        for leaf, inner in value.items():
            if isinstance(inner, dict):
                raise UserError(
                    f"config file {path} has a section {shown(f'{key}.{leaf}')} within a section: "
                    f"write its values under [{shown(key)[1:-1]}]"
                )
            values[f"{key}.{leaf}"] = inner
    if isinstance(values.get("data"), str) and values["data"]:
        values["data"] = str(path.parent / _expanded(values["data"]))
    return values
