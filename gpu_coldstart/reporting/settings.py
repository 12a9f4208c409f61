"""Which settings of a run somebody chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpu_coldstart.config.parameters import flat
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.reporting.blocks import setting_text

__all__ = ["chosen"]

_GIVEN = ("dataset", "preset", "data", "evaluation.protocol")
"""What the others follow from."""


def chosen(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Settings that are not what data set, preset and protocol make them.

    Parameters
    ----------
    config : mapping of dotted key to value

    Yields
    ------
    key, value, value instead of which
        As text.

    Examples
    --------
    >>> list(chosen(flat(resolve(settings={"segments.k": 7, "preset": "tiny"}))))
    [('segments.k', '7', '0')]
    """
    preset = flat(resolve(settings={key: config[key] for key in _GIVEN}))
    for key, value in config.items():
        text, instead = setting_text(value), setting_text(preset.get(key))
        if text != instead:
            yield key, text, instead
