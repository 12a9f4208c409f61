"""How new releases fare, for readers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Block, Grid, Text, number, percent
from gpu_coldstart.reporting.labels import space_name
from gpu_coldstart.reporting.rows import lines_of
from gpu_coldstart.runs import paths

__all__ = ["new_releases"]

_NEW = {"track": "the track", "album": "its album", "artist": "its artist"}
_SHOWN = {
    "recall": ("placed", "learned", "popularity", "chance"),
    "among": ("placed", "learned", "popularity"),
    "listed": ("placed", "learned", "chance"),
}


def new_releases(table: Table) -> Iterator[Block]:
    """The table ``new-releases``: a line for what was new and where its place is from."""
    lines = lines_of(table)
    if not lines:
        return
    yield Text(
        "Tracks with history were held out, with their albums or with all that their artists "
        "made, and got the place that a track without history gets: the mean of other tracks of "
        "their album, artist or genre, or of those that sound like them. The fully personalised "
        f"lists of {lines[0]['users']} test users were then made with these places, and with those "
        "learned from the tracks' history. All else was learned with that history, too, the places "
        "of other tracks and those of users: a real new release may fare somewhat worse. "
        "Popularity is what the tracks came to; before its first stream, no track is in a chart."
    )
    rows = []
    for head, group in groupby(lines, lambda line: [line[c] for c in ("space", "new", "source")]):
        by = {line["ranked_by"]: line for line in group}
        placed = by["placed"]
        rows.append(
            [
                space_name(head[0]),
                _NEW[head[1]],
                head[2],
                *(str(placed[column]) for column in ("tracks", "wanted")),
                number(placed["cosine"], 3),
                *(percent(by[way][measure]) for measure, ways in _SHOWN.items() for way in ways),
            ]
        )
    yield Grid(
        "new-releases-table",
        f"Cosine of the given and the learned place; in per cent, the share of wanted tracks that "
        f"are among the first {lines[0]['k']}, the share of other held-out tracks that come after "
        "a wanted one (50 by chance), and the share of all lists that held-out tracks take",
        [
            *("space", "new", "placed by", "tracks", "wanted", "cosine"),
            *(f"{measure}, {way}" for measure, ways in _SHOWN.items() for way in ways),
        ],
        rows,
        frozenset({1, 2}),
        paths.csv("new-releases"),
    )
