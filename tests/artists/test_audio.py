"""Sound files become spectrograms, or one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from numpy.testing import assert_allclose

from gpu_coldstart.artists.audio import HOP, WINDOW, find, frames, spectrograms
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from tests.artists.sounds import RATE, TINY, sound


def saved(place: Path, samples: HostArray, rate: int = RATE) -> Path:
    soundfile.write(place, samples, rate, subtype="FLOAT")
    return place


def mel(hertz: HostArray) -> HostArray:
    """Slaney's scale: a straight line up to 1000 Hz, then the logarithm."""
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, hertz * 3 / 200, above)


def naive(samples: HostArray, bands: int) -> HostArray:
    """Triangles on the mel scale over the power of windows, in decibels below the loudest."""
    padded = np.pad(samples, WINDOW // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    starts = range(0, len(padded) - WINDOW + 1, HOP)
    power = [abs(np.fft.rfft(padded[start : start + WINDOW] * window)) ** 2 for start in starts]
    hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    grid = np.linspace(0, RATE / 2, 20_001)
    edges = np.interp(np.linspace(0, mel(np.array(RATE / 2)), bands + 2), mel(grid), grid)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    weights = np.clip(np.minimum(rise, fall), 0, None) * 2 / (high - low)
    energy = np.maximum(weights @ np.array(power).T, 1e-10)
    return np.asarray(np.maximum(1 + np.log10(energy / energy.max()) / 8, 0))


def test_spectrograms(tmp_path: Path) -> None:
    samples = sound(1, 2)
    length = int(TINY.seconds * RATE)
    made = spectrograms(saved(tmp_path / "a.wav", samples), TINY)
    assert made.shape == (TINY.excerpts, TINY.mel_bands, frames(TINY))
    starts = [0, (len(samples) - length) // 2, len(samples) - length]
    for excerpt, start in zip(made, starts, strict=True):
        part = samples[start : start + length]
        assert_allclose(excerpt, naive(part, TINY.mel_bands), atol=2e-4)


def test_level_channels_and_rate_matter_little(tmp_path: Path) -> None:
    samples = sound(0, 0)
    made = spectrograms(saved(tmp_path / "a.wav", samples), TINY)
    stereo = np.stack([samples, samples], axis=1) / 8
    assert_allclose(spectrograms(saved(tmp_path / "b.wav", stereo), TINY), made, atol=1e-5)
    double = np.repeat(samples, 2)
    other = spectrograms(saved(tmp_path / "c.wav", double, 2 * RATE), TINY)
    assert abs(other - made)[:, :20].mean() < 0.01


def test_a_short_track_is_repeated_and_silence_is_no_error(tmp_path: Path) -> None:
    short = sound(0, 0)[: RATE // 8]
    made = spectrograms(saved(tmp_path / "a.wav", short), TINY)
    long = np.tile(short, 4)
    assert_allclose(made[0], spectrograms(saved(tmp_path / "b.wav", long), TINY)[0])
    silent = spectrograms(saved(tmp_path / "c.wav", np.zeros(RATE)), TINY)
    assert np.isfinite(silent).all()


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.wav cannot be read as sound \(.+\): mend or replace"):
        spectrograms(tmp_path / "a.wav", TINY)


def test_no_samples_and_no_numbers_are_refused(tmp_path: Path) -> None:
    for samples, words in (
        (np.zeros(0), "no sound in it"),
        (np.full(9, np.nan), "no numbers"),
        (np.full(9, 1e30), "too large"),
    ):
        with pytest.raises(UserError, match=words):
            spectrograms(saved(tmp_path / "a.wav", samples), TINY)
    with pytest.raises(UserError, match="No such file"):
        spectrograms(tmp_path / "b.wav", TINY)


def test_finding(tmp_path: Path) -> None:
    for name in ("x/1.wav", "x/y/2.OGG", "3.mp3", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    below = {"1": "x/1.wav", "2": "x/y/2.OGG", "3": "3.mp3"}
    assert find(tmp_path) == {track: tmp_path / name for track, name in below.items()}
    listed = tmp_path / "audio.csv"
    listed.write_text("path,track_id\nx/1.wav,007\n/other/2.ogg,8\n")
    assert find(listed) == {"007": tmp_path / "x/1.wav", "8": Path("/other/2.ogg")}
    listed.write_text("path,track_id\na.wav,7\nb.wav,7\n")
    with pytest.raises(UserError, match=r"a\.wav and .*b\.wav are both sound of track '7'"):
        find(listed)
    pq.write_table(pa.table({"track_id": [7, None], "path": ["a", "b"]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="has a null in track_id or path"):
        find(tmp_path / "x.parquet")
    listed.write_text("file,track_id\na.wav,7\n")
    with pytest.raises(UserError, match="columns track_id and path"):
        find(listed)
    (tmp_path / "1.flac").write_bytes(b"")
    with pytest.raises(UserError, match="both sound of track '1'"):
        find(tmp_path)
    for place, words in (("x/z", "does not exist"), ("empty", "holds no sound files")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=words):
            find(tmp_path / place)
