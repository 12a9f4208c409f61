"""Readers of published data sets, on a few rows in the very layout that is published."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.data.tables import load
from gpu_coldstart.datasets.published import NAMES
from gpu_coldstart.engine.cpu.engine import CpuEngine
from tests.runs.helpers import refused
from tests.test_cli import calling

PLAYS = "userid-timestamp-artid-artname-traid-traname.tsv"
FLAGS = "|".join("01"[genre in (3, 4)] for genre in range(19))
FILES: dict[str, dict[str, str]] = {
    "lastfm-1k": {
        PLAYS: 'user_000001\t2009-05-04T23:08:57Z\tmbid-a\tDeep "Dish"\tmbid-1\tFuck Me Im Famous\n'
        "user_000001\t2006-08-13T13:54:10Z\t\t坂本龍一\t\tComposition 0919\n"
        "user_000002\t2009-05-04T13:52:04Z\t\t坂本龍一\t\tComposition 0919\n"
        "user_000002\t2009-05-04T13:52:05Z\tmbid-a\tDeep Dish\t\t\n",
        "userid-profile.tsv": "#id\tgender\tage\tcountry\tregistered\n"
        "user_000001\tm\t\tJapan\tAug 13, 2006\nuser_000002\tf\t27\t\t\n",
    },
    "movielens-1m": {
        "ratings.dat": "1::1193::5::978300760\n1::661::2::978302109\n6040::1193::3::956703932\n",
        "users.dat": "1::F::1::10::48067\n6040::M::25::6::11106\n",
        "movies.dat": "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
        "1193::Les Misérables: Cuckoo (1975)::Drama\n",
    },
    "movielens-100k": {
        "u.data": "196\t242\t3\t881250949\n186\t242\t1\t891717742\n",
        "u.user": "186|39|F|executive|00000\n196|49|M|writer|55105\n",
        "u.item": f"242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M|{FLAGS}\n",
    },
}
RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n186\t242\t1\t891717742\n",
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "186\t39\tF\texecutive\t00000\n196\t49\tM\twriter\t55105\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "242\tKolya (1996)\t1996\tAnimation Children's\n",
}


def encoded(name: str, text: str) -> bytes:
    return text.encode("latin1" if name in ("movies.dat", "u.item") else "utf8")


def packed(files: dict[str, str], place: Path) -> Path:
    """A folder within a folder, or an archive, as the ending says."""
    if place.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"inner/{name}", encoded(name, text))
    elif place.suffix == ".gz":
        with tarfile.open(place, "w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(f"inner/{name}")
                member.size = len(encoded(name, text))
                tar.addfile(member, io.BytesIO(encoded(name, text)))
    else:
        (place / "inner").mkdir(parents=True)
        for name, text in files.items():
            (place / "inner" / name).write_bytes(encoded(name, text))
    return place


def converted(name: str, place: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables, row by row; they keep to the data contract."""
    result = calling("data", "convert", name, place, "--out", out)
    assert result.status == 0, result.err
    tables = {path.stem: pq.read_table(path) for path in out.glob("*.parquet")}
    load(CpuEngine(), tables)
    return {name: table.to_pylist() for name, table in tables.items()}


@pytest.mark.parametrize("form", ["folder", "set.tar.gz"])
def test_lastfm(form: str, tmp_path: Path) -> None:
    rows = converted("lastfm-1k", packed(FILES["lastfm-1k"], tmp_path / form), tmp_path / "out")
    by_name = "坂本龍一 \N{EN DASH} Composition 0919"
    assert rows["users"] == [
        {"user_id": "user_000001", "registered_at": datetime(2006, 8, 13, tzinfo=UTC),
         "country": "Japan", "age": None},
        {"user_id": "user_000002", "registered_at": datetime(2009, 5, 4, 13, 52, 4, tzinfo=UTC),
         "country": None, "age": 27},
    ]  # fmt: skip
    assert sorted(rows["tracks"], key=lambda track: str(track["track_id"])) == [
        {"track_id": "mbid-1", "artist_id": "mbid-a", "title": "Fuck Me Im Famous",
         "artist_name": 'Deep "Dish"'},
        {"track_id": by_name, "artist_id": "坂本龍一", "title": "Composition 0919",
         "artist_name": "坂本龍一"},
    ]  # fmt: skip
    assert [(x["user_id"], x["entity_id"]) for x in rows["interactions"]] == [
        ("user_000001", "mbid-1"),
        ("user_000001", by_name),
        ("user_000002", by_name),
    ]


@pytest.mark.parametrize("form", ["folder", "ml-1m.zip"])
def test_movielens_1m(form: str, tmp_path: Path) -> None:
    rows = converted("movielens-1m", packed(FILES["movielens-1m"], tmp_path / form), tmp_path / "o")
    assert [(user["user_id"], user["age"]) for user in rows["users"]] == [(1, 15), (6040, 29)]
    assert rows["users"][0]["registered_at"] == datetime(2000, 12, 31, 22, 12, 40)
    assert rows["tracks"] == [
        {"track_id": 661, "title": "James and the Giant Peach (1996)", "genre": "Animation"},
        {"track_id": 1193, "title": "Les Misérables: Cuckoo (1975)", "genre": "Drama"},
    ]
    done = [(x["user_id"], x["action"], x["entity_id"]) for x in rows["interactions"]]
    assert done == [(1, "stream", 1193), (1, "skip", 661), (6040, "stream", 1193)]


def test_movielens_100k_and_its_copy_in_recbole(tmp_path: Path) -> None:
    one = converted(
        "movielens-100k", packed(FILES["movielens-100k"], tmp_path / "a"), tmp_path / "1"
    )
    place = packed(RECBOLE, tmp_path / "recbole.whl")
    assert converted("movielens-100k", place, tmp_path / "2") == one
    assert [(user["user_id"], user["age"]) for user in one["users"]] == [(186, 39), (196, 49)]
    assert one["tracks"] == [{"track_id": 242, "title": "Kolya (1996)", "genre": "Animation"}]
    assert [x["action"] for x in one["interactions"]] == ["stream", "skip"]


def pisa(place: Path, **columns: Any) -> Path:
    (place / "sessions").mkdir(parents=True)
    streams = {"user_id": [7, 9, 7], "session_id": [1, 2, 3], "product_track_id": [5, 5, 6],
               "ts": [1650000060, 1650000000, 1650000000]} | columns  # fmt: skip
    streams = {name: values for name, values in streams.items() if values is not None}
    table = pa.table(streams)
    for part in range(2):
        pq.write_table(table[part : 1 + 2 * part], place / "sessions" / f"{part}.parquet")
    tracks = {"product_track_id": [5, 6], "artist_id": [1, 2], "vector": [[0.1], [0.2]]}
    pq.write_table(pa.table(tracks), place / "svd_embeddings.parquet")
    return place


def test_deezer_pisa(tmp_path: Path) -> None:
    rows = converted("deezer-pisa", pisa(tmp_path / "data"), tmp_path / "out")
    first = datetime.fromtimestamp(1650000000, UTC).replace(tzinfo=None)
    assert rows["users"] == [{"user_id": user, "registered_at": first} for user in (7, 9)]
    assert rows["tracks"] == [{"track_id": 5, "artist_id": 1}, {"track_id": 6, "artist_id": 2}]
    assert [(x["user_id"], x["entity_id"]) for x in rows["interactions"]] == [
        (7, 5),
        (9, 5),
        (7, 6),
    ]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("lastfm-1k", {"userid-profile.tsv": None}, ["holds no userid-profile.tsv"]),
        ("lastfm-1k", {"userid-profile.tsv": "id\n"}, ["begins with 'id'", "another layout"]),
        (
            "lastfm-1k",
            {"userid-profile.tsv": "#id\tgender\tage\tcountry\tregistered\nu\t\t\t\t2006-08-13\n"},
            ["column 'registered', row 0", "'2006-08-13'", "mend it"],
        ),
        ("movielens-1m", {"ratings.dat": "1::2::3\n"}, ["ratings.dat", "Expected 4 columns"]),
        ("movielens-1m", {"ratings.dat": "1::x::5::9\n"}, ["ratings.dat", "int64"]),
        ("movielens-100k", {"u.item": "242|Kolya\n"}, ["u.item", "Expected 24 columns"]),
    ],
)
def test_another_layout_is_refused(
    name: str, changes: dict[str, str | None], words: list[str], tmp_path: Path
) -> None:
    files = {key: text for key, text in (FILES[name] | changes).items() if text is not None}
    place = packed(files, tmp_path / "folder")
    refused(calling("data", "convert", name, place, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_data_set_is_refused(name: str, tmp_path: Path) -> None:
    refused(calling("data", "convert", name, tmp_path / "none", "--out", tmp_path / "out"), "none")
    (tmp_path / "half.zip").write_bytes(b"PK")
    words = "holds no sessions" if name == "deezer-pisa" else "cannot be read"
    refused(calling("data", "convert", name, tmp_path / "half.zip", "--out", tmp_path / "o"), words)


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    place = pisa(tmp_path / "data", ts=None)
    result = calling("data", "convert", "deezer-pisa", place, "--out", tmp_path / "out")
    refused(result, "sessions has no column 'ts'")
