"""Made-up artists, each with a timbre of its own, and tracks of theirs as sound files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.engine.base import HostArray

RATE = 8000
TINY = ArtistsConfig(
    sample_rate=RATE,
    mel_bands=24,
    seconds=0.5,
    excerpts=3,
    channels=12,
    dimension=8,
    batch_size=16,
    epochs=25,
    learning_rate=5e-3,
    validation=0.3,
)
SETTINGS = [
    option
    for name, value in TINY.model_dump(exclude_defaults=True).items()
    for option in ("--set", f"{name}={value}")
]


def sound(artist: int, track: int, seconds: float = 1.2) -> HostArray:
    """Notes with the artist's harmonics, and the artist's noise."""
    dark, hiss = np.random.default_rng((107, artist)).random(2)
    random = np.random.default_rng((artist, track))
    when = np.arange(int(seconds * RATE)) / RATE
    notes = random.uniform(200, 400, 4)[(when * 4).astype(int) % 4]
    phase = 2 * np.pi * np.cumsum(notes) / RATE
    made = sum(np.sin(i * phase) / i ** (4 * dark) for i in range(1, 7))
    noise = random.normal(size=len(when)) * 10 ** (-3 * hiss)
    return np.asarray((made + noise) * random.uniform(0.02, 0.2), np.float32)


def write(
    place: Path, artists: int, tracks: int, *, merge: int = 1, text: bool = True
) -> dict[str, int]:
    """Sound and a table of tracks; returns whose each track is in truth.

    Parameters
    ----------
    merge : int
        So many artists one after the other have one id.
    text : bool
        Whether ids are text.
    """
    (place / "audio").mkdir(parents=True)
    truth = {}
    for number in range(artists * tracks):
        artist = number % artists
        name = f"t{number}" if text else str(number)
        truth[name] = artist
        soundfile.write(place / "audio" / f"{name}.wav", sound(artist, number), RATE)
    shared = [artist // merge for artist in truth.values()]
    columns = {
        "track_id": list(truth) if text else list(map(int, truth)),
        "artist_id": [f"a{each}" for each in shared] if text else shared,
        "genre": ["odd" if artist % 2 else "even" for artist in truth.values()],
        "extra": list(range(len(truth))),
    }
    pq.write_table(pa.table(columns), place / "tracks.parquet")
    return truth
