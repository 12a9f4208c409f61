"""The base of every set of parameters, and the kinds of values they have."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gpu_coldstart.config.problems import shown
from gpu_coldstart.errors import nearest

__all__ = [
    "MOST",
    "Count",
    "Distinct",
    "Listed",
    "Natural",
    "NonNegative",
    "Parameters",
    "Positive",
    "one_of",
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
