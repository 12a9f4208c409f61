"""Music of free games out of Debian's packages, with who made it, as a table of tracks.

``python -m bench.game_music DEBS OUT``, where DEBS is a folder into which ``apt-get download`` has
put the packages (:data:`PACKAGES`): OUT gets ``tracks.parquet`` and the folder ``audio``. A track's
artist is that of its tags, or else of its package's copyright file; tracks of whom neither says,
or of artists with fewer than three, are left out. Its genre is the game: what the music of a game
has in common besides the artist is what must not tell artists apart.
"""

from __future__ import annotations

import argparse
import fnmatch
import io
import shutil
import subprocess
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

__all__ = ["PACKAGES", "main"]

PACKAGES = (
    "colobot-common-sounds",
    "davegnukem-data",
    "freedroidrpg-data",
    "hyperrogue-music",
    "lordsawar-data",
    "marsshooter-data",
    "naev-data",
    "nexuiz-music",
    "openarena-088-data",
    "openclonk-data",
    "pushover-data",
    "redeclipse-data",
    "singularity-music",
    "starfighter-data",
    "supertux-data",
    "supertuxkart-data",
    "ufoai-music",
    "warmux-data",
    "wesnoth-1.16-music",
    "wizznic-data",
    "zaz-data",
)

_NAMED = {
    "naev-data": {
        "ambient[123].ogg": "Nikola Whallon",
        "battlesomething*.ogg": "Nikola Whallon",
        "collective*.ogg": "Nikola Whallon",
        "empire*.ogg": "Nikola Whallon",
        "flf_battle1.ogg": "Nikola Whallon",
        "nebu_battle*.ogg": "Nikola Whallon",
    },
    "pushover-data": {"*": "Roberto Lorenz"},
    "redeclipse-data": {"track_*.ogg": "Derek Stegall"},
    "ufoai-music": {"Psymong*": "Psymong", "Marine*": "Marine", "David*": "David Reeves"},
    "warmux-data": {"Olivier_Militon*": "Olivier Militon"},
}
"""Artists of files without tags."""

_ALIASES = {
    "Gerd (elysis) Raudenbusch": "elysis",
    "www.elysis.de": "elysis",
    "www.indiedb.com/members/crystan": 'Christian "Crystan" Hoffmann',
    "Max Freeman & Chris Leutwyler": "Chris Leutwyler & Max Freeman",
    "Max Freeman": "",  # one of the two
}
_SOUND = (".ogg", ".mp3", ".flac", ".opus")
_SECONDS = 25
_LEAST = 3


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the sound files in a package, and in archives there."""
    listing = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(listing)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith(_SOUND):
                yield member.name, file.read()
            elif file is not None and member.name.endswith(".pk3"):
                with zipfile.ZipFile(io.BytesIO(file.read())) as inner:
                    for name in inner.namelist():
                        if name.endswith(_SOUND):
                            yield name, inner.read(name)


def _artist(package: str, name: str, content: bytes) -> str:
    """Who made a track; empty for what is not known or no music."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.frames < _SECONDS * file.samplerate:
                return ""
            tag = str(file.copy_metadata().get("artist", "")).strip()
    except soundfile.LibsndfileError:
        return ""
    if tag in ("", "<Unknown>"):
        named = _NAMED.get(package, {}).items()
        tag = next((artist for glob, artist in named if fnmatch.fnmatch(Path(name).name, glob)), "")
    return _ALIASES.get(tag, tag)


def main() -> None:
    """Read the packages and write the table and the sound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("debs", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out / "audio", ignore_errors=True)
    (arguments.out / "audio").mkdir(parents=True)
    found: list[tuple[str, str, str, bytes]] = []
    for package in PACKAGES:
        (deb,) = arguments.debs.glob(f"{package}_*.deb")
        for name, content in sorted(_files(deb)):
            track = f"{package}.{name.rsplit('/', 1)[-1].replace(' ', '_')}"
            if artist := _artist(package, name, content):
                found.append((track, artist, package, content))
    first = {track: (artist, game, content) for track, artist, game, content in reversed(found)}
    tracks = Counter(artist for artist, _, _ in first.values())
    kept = sorted(track for track in first if tracks[first[track][0]] >= _LEAST)
    for track in kept:
        (arguments.out / "audio" / track).write_bytes(first[track][2])
    columns = {
        "track_id": [track.rsplit(".", 1)[0] for track in kept],
        "artist_id": [first[track][0] for track in kept],
        "genre": [first[track][1] for track in kept],
    }
    pq.write_table(pa.table(columns), arguments.out / "tracks.parquet")
    print(f"{len(kept)} tracks of {len(set(columns['artist_id']))} artists")  # noqa: T201


if __name__ == "__main__":
    main()
