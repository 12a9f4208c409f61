"""How a configuration comes about: presets, protocols, data sets, TOML files, single settings."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from gpu_coldstart.config.parameters import (
    DATASETS,
    PRESETS,
    PROTOCOLS,
    SPACES,
    STRATEGIES,
    Config,
    flat,
)
from gpu_coldstart.datasets.synthetic.world import PRESETS as WORLDS
from gpu_coldstart.errors import UserError

__all__ = ["from_toml", "resolve", "to_toml"]

_PRESET_VALUES: dict[str, dict[str, Any]] = {
    "tiny": {
        "ut_als.factors": 32,
        "ut_als.iterations": 5,
        "tt_svd.dimension": 24,
        "tt_svd.min_count": 1,
        "tt_svd.oversamples": 10,
        "mlp.epochs_tt_svd": 5,
        "mlp.epochs_ut_als": 5,
        "mlp.batch_size": 64,
        "strategies.input_features_k": 10,
        "evaluation.bootstrap": 200,
    },
    "small": {"mlp.batch_size": 256},
    "paper": {"evaluation.protocol": "paper"},
}
"""How large everything is, and what must be smaller in a smaller world."""

_PROTOCOL_VALUES: dict[str, dict[str, Any]] = {
    "own": {},
    # What the paper states; where it is silent, ours.
    "paper": {
        "features.scalars": "raw",
        "mlp.learning_rate": 1e-4,
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
        "mlp.epochs_tt_svd": 130,
        "mlp.epochs_ut_als": 130,
        "mlp.patience": 0,
        "strategies.similarity": "inner",
        "strategies.registration_day_fallback": "none",
        "strategies.input_features_points": 0,
        "evaluation.deviation": "repeated",
    },
}
"""How everything is done. Of what a preset names too, the epochs, the protocol's value holds."""

_DATASET_VALUES: dict[str, dict[str, Any]] = {"tafeng": {"split.min_truth": 10}}

_CHOICES: dict[str, tuple[str, ...]] = {
    "dataset": DATASETS,
    "preset": PRESETS,
    "split.warm_until": ("auto", "first-cold-day", "all"),
    "tt_svd.history": ("distinct", "streams"),
    "segments.popularity": ("members", "listens"),
    "features.pooling": ("events", "distinct"),
    "features.scalars": ("raw", "standard"),
    "mlp.optimizer": ("adam", "sgd"),
    "strategies.similarity": ("cosine", "inner"),
    "strategies.registration_day_fallback": ("popularity", "none"),
    "evaluation.protocol": PROTOCOLS,
    "evaluation.deviation": ("disjoint", "repeated"),
    "spaces": SPACES,
    "strategies.names": STRATEGIES,
}

# Smallest value allowed; keys not named here must be at least 1 (integers) or 0 (floats).
_LEAST: dict[str, float] = {
    "seed": 0,
    "split.min_truth": 0,
    "segments.k": 0,
    "segments.seeding_points": 0,
    "segments.popularity_days": 0,
    "mlp.patience": 0,
    "strategies.soft_overshoot": 0,
    "strategies.input_features_points": 0,
    "carousels.playlists": 0,
    "tt_svd.shift": 1e-9,
    "mlp.learning_rate": 1e-12,
    "ut_als.confidence": 1e-9,
    "tt_svd.power_iterations": 0,
    "tt_svd.oversamples": 0,
    "evaluation.folds": 2,
    "mlp.batch_size": 2,
}
_MOST = 2**31 - 1

_DISTINCT = ("spaces", "strategies.names", "evaluation.k", "features.age_classes")
"""Lists that may not name a value twice."""


def resolve(
    *,
    dataset: str = "synthetic",
    preset: str = "small",
    files: Iterable[Path] = (),
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Build a run's configuration: preset, protocol, data set, files, single settings.

    Each lies over those before it. The preset ``paper`` implies the protocol ``paper``, unless a
    file or a setting names another.

    Parameters
    ----------
    dataset, preset : str
        A file that names its own overrides these.
    files : paths of TOML files
        Later ones override earlier ones.
    settings : mapping of dotted key to value
        Strings are read as TOML values where they are some of the key's type, else as themselves.

    Raises
    ------
    UserError
        For an unknown key, a value of the wrong type or an impossible one, naming key and remedy.

    Examples
    --------
    >>> resolve(preset="tiny", settings={"segments.k": "7"}).segments.k
    7
    """
    overrides: dict[str, Any] = {}
    for path in files:
        overrides |= from_toml(path)
    defaults = flat(Config())
    for key, value in (settings or {}).items():
        parsed = _parse(value)
        # A directory may be called 2020 or true.
        plain = isinstance(defaults.get(key), str) and not isinstance(parsed, str)
        overrides[key] = value if plain else parsed
    dataset = str(overrides.get("dataset", dataset))
    preset = str(overrides.get("preset", preset))
    for key, value in (("dataset", dataset), ("preset", preset)):
        _check_choice(key, value)
    world = dataclasses.asdict(WORLDS[preset])
    values = {"dataset": dataset, "preset": preset}
    values |= {f"world.{name}": value for name, value in world.items()}
    values |= _PRESET_VALUES[preset]
    protocol = str((values | overrides).get("evaluation.protocol", defaults["evaluation.protocol"]))
    _check_choice("evaluation.protocol", protocol)
    values |= _PROTOCOL_VALUES[protocol] | _DATASET_VALUES.get(dataset, {}) | overrides
    return _build(values)


def _build(values: Mapping[str, Any]) -> Config:
    """Lay dotted values over the defaults, checking each."""
    known = flat(Config())
    sections: dict[str, dict[str, Any]] = {"": {}}
    for key, value in values.items():
        if key not in known:
            near = [name for name in known if name.endswith(f".{key.rsplit('.', 1)[-1]}")]
            hint = f"did you mean {near[0]}" if near else "see config.toml of any run for all keys"
            raise UserError(f"setting '{key}' is not known: {hint}")
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = _checked(key, value, known[key])
    parts: dict[str, Any] = dict(sections.pop(""))
    base = Config()
    for section, changes in sections.items():
        parts[section] = dataclasses.replace(getattr(base, section), **changes)
    return dataclasses.replace(base, **parts)


def _parse(value: Any) -> Any:
    """A command-line value: TOML if it is some, else a comma list or a bare string."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # no TOML; or thousands of digits, or of brackets
        return value


def _checked(key: str, value: Any, default: Any) -> Any:
    """The value in its key's type, or a clear refusal."""
    wanted = type(default)
    if wanted is tuple:
        value = _as_tuple(key, value, default)
    elif wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UserError(
            f"setting '{key}' is {value!r}, but a {wanted.__name__} like {default!r} is needed"
        )
    for single in value if wanted is tuple else (value,):
        _check_choice(key, single)
        _check_least(key, single)
    return value


def _as_tuple(key: str, value: Any, default: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list setting from a TOML list, a single value or a comma list."""
    if isinstance(value, str):
        value = [_parse(part.strip()) for part in value.split(",") if part.strip()]
    elif not isinstance(value, list | tuple):
        value = [value]
    kind = type(default[0])
    if not value or any(type(single) is not kind for single in value):
        raise UserError(
            f"setting '{key}' needs a list of {kind.__name__} values like {list(default)}"
        )
    if key in _DISTINCT and len(set(value)) < len(value):
        raise UserError(f"setting '{key}' names a value twice: {list(value)}")
    if key == "features.age_classes" and list(value) != sorted(value):
        raise UserError(f"setting '{key}' is {list(value)}: give ages in ascending order")
    return tuple(value)


def _check_choice(key: str, value: Any) -> None:
    allowed = _CHOICES.get(key)
    if allowed is not None and value not in allowed:
        raise UserError(f"setting '{key}' is {value!r}: use one of {', '.join(allowed)}")


def _check_least(key: str, value: Any) -> None:
    if isinstance(value, bool | str) or key.startswith("world."):
        return
    if not abs(value) <= _MOST:
        raise UserError(f"setting '{key}' is {value}: it must be at most {_MOST}")
    least = _LEAST.get(key, 1 if isinstance(value, int) else 0)
    if not value >= least:
        raise UserError(f"setting '{key}' is {value}: it must be at least {least:g}")
    if key == "split.cold_share" and not 0 < value < 1:
        raise UserError(f"setting '{key}' is {value}: it must lie between 0 and 1")


def to_toml(config: Config) -> str:
    """The whole configuration as TOML text, readable by :func:`resolve` again."""
    return tomli_w.dumps(dataclasses.asdict(config))


def from_toml(path: Path) -> dict[str, Any]:
    """Dotted keys and values of a TOML file.

    Raises
    ------
    UserError
        When the file is missing or is not TOML.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"config file {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"config file {path} is not TOML: {error}") from error
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            values |= {f"{key}.{leaf}": inner for leaf, inner in value.items()}
        else:
            values[key] = value
    return values
