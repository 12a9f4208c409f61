"""Some test users up close, for readers."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Block, Card, Cards, Text, counted, number
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, lines_of

__all__ = ["examples"]

_SHOWN = 10
"""Tracks of a list that are shown."""

_REASONS = {"segment": "segments", "signal": "placed by", "part": "lifted by"}
"""What is said of each kind of reason."""

_WORDS = {name: name.replace("_", " ") for name in BLOCKS}


def examples(table: Table) -> Iterator[Block]:
    """The table ``examples``: a card for each user."""
    lines = lines_of(table)
    if not lines:
        return
    first = lines[0]
    yield Text(
        f"{counted(len(lines), 'test user')}, drawn by the seed so that all kinds of first day are "
        f"there, with the {min(_SHOWN, first['k'])} tracks that {strategy_name(first['strategy'])} "
        f"({space_name(first['space'])}) puts first for them. A tick marks a hit: the user "
        "streamed the track on one of the following days. The list and its reasons rest on the "
        "first day alone."
    )
    yield Cards([_card(line) for line in lines])


def _card(line: Line) -> Card:
    known = [each for each in (line["country"], line["age_class"]) if each is not None]
    hits = line["hits"]
    return Card(
        f"User {line['user']}",
        [
            ("known", ", ".join(known) or "neither country nor age"),
            ("first day", "; ".join(line["did"]) or "nothing"),
            *_reasons(line),
            ("streamed later", counted(line["wanted"], "track")),
            ("hits", f"{len(hits)} in the list's {counted(line['k'], 'place')}"),
        ],
        [(name, rank in hits) for rank, name in enumerate(line["tracks"][:_SHOWN], start=1)],
    )


def _reasons(line: Line) -> Iterator[tuple[str, str]]:
    """The kinds of reason that the strategy gives."""
    for kind, head in _REASONS.items():
        shares = line[f"{kind}_shares"]
        if shares:
            some = (
                f"{_WORDS.get(name, name)} ({number(100 * share, 0)} %)"
                for name, share in zip(line[f"{kind}s"], shares, strict=True)
            )
            yield head, "; ".join(some)
