"""Options as typer takes them: paths and text keep their bytes, a choice suggests near misses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from gpu_coldstart import __version__, registry
from gpu_coldstart.config.problems import shown
from gpu_coldstart.errors import UserError, nearest

__all__ = [
    "ENGINES",
    "assigned",
    "choice",
    "device",
    "expanded",
    "flag",
    "integer",
    "integers",
    "one_of",
    "path",
    "text",
    "version",
]

ENGINES = ("auto", *registry.ENGINES.names())


def choice(option: str, names: Sequence[str], help: str) -> Any:
    """An option that takes one of some names.

    Raises
    ------
    typer.BadParameter
        From the parser, naming the nearest choice.
    """
    metavar = "{" + ",".join(names) + "}"
    parser = one_of(names)
    return typer.Option(option, metavar=metavar, help=help, parser=parser, show_default=False)


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """A parser of one of some names; see :func:`choice`."""

    def parse(value: str) -> str:
        if value in names:
            return value
        raise typer.BadParameter(f"{value!r} is not a choice: {nearest(value, names)}")

    return parse


def path(option: str, metavar: str, help: str) -> Any:
    """An option that takes a path, which need not be valid UTF-8."""
    return typer.Option(option, metavar=metavar, help=help, parser=expanded, show_default=False)


def expanded(value: str | Path) -> Path:
    """A path whose ``~`` is a home directory; shells leave it as it is in ``--out=~/run``."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # there is no such user
        raise typer.BadParameter(
            f"no home directory is known for {str(value)!r}: write the whole path, or ./~ for a "
            "file of such a name"
        ) from error


def text(option: str, metavar: str, help: str) -> Any:
    """An option that takes any text."""
    return typer.Option(option, metavar=metavar, help=help, parser=str, show_default=False)


def integer(option: str, metavar: str, help: str) -> Any:
    """An option that takes a whole number from 0 to 2147483647."""
    return typer.Option(option, metavar=metavar, help=help, parser=_natural, show_default=False)


def _natural(value: str | int) -> int:
    digits = str(value)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11) or int(digits) >= 2**31:
        raise typer.BadParameter(f"{digits:.40} is not a whole number from 0 to {2**31 - 1}")
    return int(digits)


device = integer("--device", "N", "Which GPU, from 0 (default: the current one).")


def integers(option: str, metavar: str, help: str) -> Any:
    """An option that takes whole numbers with commas between them, none of them twice."""
    return typer.Option(option, metavar=metavar, help=help, parser=_distinct, show_default=False)


def _distinct(value: str) -> tuple[int, ...]:
    numbers = tuple(map(_natural, value.split(",")))
    if len(set(numbers)) < len(numbers):
        raise typer.BadParameter(f"{value:.40} has a number twice")
    return numbers


def flag(option: str, help: str) -> Any:
    """An option without a value."""
    return typer.Option(option, help=help, show_default=False)


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"gpu_coldstart {__version__}")
        raise typer.Exit


version = typer.Option(
    "--version",
    help="Print the version and exit.",
    is_eager=True,
    show_default=False,
    callback=lambda asked: _print_version(asked=asked),
)


def assigned(assignments: list[str]) -> dict[str, Any]:
    """The settings of ``--set``."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {shown(assignment)} has no '=': write --set key=value")
        settings[key.strip()] = value.strip()
    return settings
