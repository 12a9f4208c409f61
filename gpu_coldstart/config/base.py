"""The base of every set of parameters, and the kinds of values they have."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gpu_coldstart.config.problems import shown
from gpu_coldstart.errors import nearest

__all__ = [
    "MOST",
    "Choices",
    "Count",
    "Decay",
    "Distinct",
    "Listed",
    "Natural",
    "NonNegative",
    "Parameters",
    "Positive",
    "Range",
    "Rate",
    "Searched",
    "one_of",
    "ranges_of",
]

MOST = 2**31 - 1
"""The largest number that any parameter may be."""

T = TypeVar("T")


class Parameters(BaseModel):
    """Parameters of a part or a section: frozen, and checked however they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values, validated as usual."""
        return type(self)(**{**dict(self), **changes})


@dataclass(frozen=True)
class Searched:
    """Metadata of a number: where ``gpu-coldstart tune`` looks for a better value.

    Attributes
    ----------
    low, high : int or float
        Both belong to it.
    log : bool
        Whether values are drawn by their logarithm.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """Metadata of a parameter of any kind: the values that ``gpu-coldstart tune`` tries."""

    values: tuple[Any, ...]


Range: TypeAlias = Searched | Choices


def ranges_of(kind: type[Parameters]) -> dict[str, Range]:
    """Where to look for better values, of the parameters that say it beside their type.

    Examples
    --------
    >>> class Mine(Parameters):
    ...     width: Annotated[int, Field(ge=1), Searched(8, 64, log=True)] = 32
    ...     seed: int = 0
    >>> ranges_of(Mine)
    {'width': Searched(low=8, high=64, log=True)}
    """
    return {
        name: metadata
        for name, field in kind.model_fields.items()
        for metadata in field.metadata
        if isinstance(metadata, Searched | Choices)
    }


def _listed(value: Any) -> Any:
    """TOML and JSON have lists where parameters have tuples."""
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"names a value twice: {list(values)}")
    return values


Count = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
NonNegative = Annotated[float, Field(ge=0, le=MOST)]
Positive = Annotated[float, Field(ge=1e-12, le=MOST)]

# Of a network's training, wherever it is.
Rate = Annotated[Positive, Searched(1e-4, 1e-2, log=True)]
Decay = Annotated[NonNegative, Choices((0.0, 1e-6, 1e-5, 1e-4, 1e-3))]

# A list of at least one value; the constraints of what it holds stand with it.
Listed = Annotated[tuple[T, ...], BeforeValidator(_listed), Field(min_length=1)]
Distinct = Annotated[
    tuple[T, ...], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_distinct)
]


def one_of(value: str, names: Iterable[str]) -> str:
    """The value, where it is one of the names; a ValueError with the nearest otherwise."""
    names = tuple(names)
    if value not in names:
        raise ValueError(f"is {shown(value)}: {nearest(value, names)}")
    return value
