"""The public lists of the paper's data: ids of tracks, and whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from gpu_coldstart.artists.tables import Catalogue
from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.regular import open_arrow

__all__ = ["read"]

_LAYOUTS = (("sng_id", "art_name"), ("dzr_sng_id", "artist"))


def read(path: Path) -> tuple[Catalogue, list[str]]:
    """A list of tracks and artists, as the authors have published it.

    In the list of homonyms (``homonym_dataset.csv``: ``sng_id``, ``art_name``, ``fold``) each
    track stands about ten times, and artists of one name are told apart by a number after it, such
    as ``Coming Soon_0``. In the others (``dzr_sng_id``, ``artist``) artists are ids.

    Returns
    -------
    catalogue : Catalogue
        Each track once.
    names : list of str
        Those of the artists of its rows, without the number.

    Raises
    ------
    UserError
        When the file cannot be read, is of another layout, or gives a track to two artists.
    """
    try:
        kinds = {name: pa.string() for _, name in _LAYOUTS}
        kinds |= {name: pa.int64() for name, _ in _LAYOUTS}
        options = pa.csv.ConvertOptions(column_types=kinds)
        table = pa.csv.read_csv(open_arrow(path), convert_options=options)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as CSV ({first_line(error)}): download it again"
        ) from error
    layout = next((each for each in _LAYOUTS if set(each) <= set(table.column_names)), None)
    if layout is None or table.num_rows == 0:
        raise UserError(
            f"{path} lacks the columns sng_id and art_name, or dzr_sng_id and artist, or rows: "
            "name one of the paper's lists"
        )
    pairs = table.select(list(layout)).rename_columns(["track_id", "artist"])
    pairs = pairs.group_by(["track_id", "artist"], use_threads=False).aggregate([])
    tracks, counts = np.unique(pairs["track_id"].to_numpy(), return_counts=True)
    if counts.max() > 1:
        raise UserError(
            f"{path} gives track {tracks[counts.argmax()]} to two artists: keep one of them"
        )
    pairs = pairs.sort_by("track_id")
    artists = pairs["artist"].to_pylist()
    listed = Catalogue(pairs, list(map(str, tracks)), artists, [None] * len(artists))
    return listed, [_name(artist) for artist in artists]


def _name(artist: str) -> str:
    """Without the number that tells homonyms apart.

    Examples
    --------
    >>> _name("Coming Soon_0"), _name("U_2_1"), _name("307256")
    ('Coming Soon', 'U_2', '307256')
    """
    name, underscore, number = artist.rpartition("_")
    return name if underscore and number.isdecimal() else artist
