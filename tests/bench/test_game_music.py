"""Music out of Debian's packages: whose it is, what is left out, and a table that is taken."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from bench import game_music
from gpu_coldstart.artists.audio import find
from gpu_coldstart.artists.tables import read

RATE = 1000


def music(artist: str = "", seconds: float = 26) -> bytes:
    """Ogg Vorbis with the artist in its tags."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format="OGG", subtype="VORBIS") as sound:
        if artist:
            sound.artist = artist
        sound.write(np.sin(np.arange(seconds * RATE) / 9) / 2)
    return file.getvalue()


def package(place: Path, files: dict[str, bytes]) -> None:
    """What ``dpkg-deb --fsys-tarfile`` would print, as the package itself."""
    with tarfile.open(place, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./usr/share/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_tracks_of_known_artists_with_three_or_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, nobody = music("Ann"), music()
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("music/in a pack.ogg", ann)
        archive.writestr("maps/one.bsp", b"x")
    debs = tmp_path / "debs"
    debs.mkdir()
    package(
        debs / "zaz-data_1.0_all.deb",
        {
            "a/one.ogg": ann,
            "a/two.ogg": ann,
            "b/one.ogg": music("Bob"),  # of the same name: the first of both is taken
            "a/short.ogg": music("Ann", 24),
            "a/junk.ogg": b"OggS",
            "a/readme.txt": ann,
            "a/untold.ogg": nobody,
            "a/either.ogg": music("Max Freeman"),
            "pack.pk3": inner.getvalue(),
            "bob1.ogg": music("Bob"),
            "bob2.ogg": music("Bob"),
            "e1.ogg": music("www.elysis.de"),
            "e2.ogg": music("Gerd (elysis) Raudenbusch"),
        },
    )
    package(
        debs / "naev-data_2_all.deb",
        {"e3.ogg": music("elysis"), "n/collective1.ogg": nobody, "other.ogg": nobody},
    )
    package(debs / "pushover-data_1_all.deb", {f"{i}.ogg": nobody for i in range(3)})
    tool = tmp_path / "bin/dpkg-deb"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\n[ "$1" = --fsys-tarfile ] && exec cat "$2"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(game_music, "PACKAGES", ("naev-data", "pushover-data", "zaz-data"))
    out = tmp_path / "out"
    (out / "audio").mkdir(parents=True)
    (out / "audio/of an earlier run.ogg").write_bytes(ann)
    monkeypatch.setattr("sys.argv", ["game_music", str(debs), str(out)])
    game_music.main()
    assert capsys.readouterr().out == "9 tracks of 3 artists\n"
    rows = pq.read_table(out / "tracks.parquet").to_pylist()
    found = {row["track_id"]: (row["artist_id"], row["genre"]) for row in rows}
    assert found == {
        "naev-data.e3": ("elysis", "naev-data"),
        **{f"pushover-data.{i}": ("Roberto Lorenz", "pushover-data") for i in range(3)},
        "zaz-data.e1": ("elysis", "zaz-data"),
        "zaz-data.e2": ("elysis", "zaz-data"),
        **{f"zaz-data.{name}": ("Ann", "zaz-data") for name in ("in_a_pack", "one", "two")},
    }
    assert find(out / "audio").keys() == found.keys() == set(read(out).tracks)
    assert (out / "audio/zaz-data.one.ogg").read_bytes() == ann
