"""Sound files of tracks, and the mel-spectrograms of excerpts from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import soundfile

from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.data.files import files_below, is_there
from gpu_coldstart.data.ids import as_text
from gpu_coldstart.engine.types import HostArray
from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.regular import check_regular, open_arrow

__all__ = ["HOP", "WINDOW", "find", "frames", "heard", "spectrograms"]

WINDOW, HOP = 1024, 512
"""Samples of a window and from one to the next (as Park et al. have them, ISMIR 2018)."""

_LOUDNESS = 80.0
"""Decibels below the loudest that still count."""


def find(place: Path) -> dict[str, Path]:
    """Where the sound of each track is.

    Parameters
    ----------
    place : Path
        A folder of sound files, or of folders of them, named by the id of their track; or a file
        ``.csv`` or ``.parquet`` with the columns ``track_id`` and ``path``, which is relative to
        the file's folder.

    Returns
    -------
    dict of str to Path
        By the ids as text.

    Raises
    ------
    UserError
        When there is none, or there are two of a track.
    """
    if not is_there(place):
        raise UserError(f"{place} does not exist: name a folder of sound files, or a list of them")
    listed = _below(place) if place.is_dir() else _listed(place)
    found: dict[str, Path] = {}
    for track, path in listed:
        if track in found:
            raise UserError(
                f"{found[track]} and {path} are both sound of track {track!r}: keep one of them"
            )
        found[track] = path
    if not found:
        raise UserError(
            f"{place} holds no sound files: name them TRACK_ID.ogg, .flac, .mp3 or .wav"
        )
    return found


def _below(folder: Path) -> list[tuple[str, Path]]:
    endings = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus", ".oga"}
    return [(path.stem, path) for path in files_below(folder) if path.suffix.lower() in endings]


def _listed(file: Path) -> list[tuple[str, Path]]:
    names = ("track_id", "path")
    try:
        if file.suffix == ".csv":
            kinds = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
            table = pa.csv.read_csv(open_arrow(file), convert_options=kinds)
        else:
            table = pq.read_table(open_arrow(file))
        tracks, paths = (as_text(table[name]).to_pylist() for name in names)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} is no table of sound files ({first_line(error)}): give a folder, or a .csv or "
            ".parquet with the columns track_id and path"
        ) from error
    if None in tracks or None in paths:
        raise UserError(f"{file} has a null in track_id or path: fill it or drop the row")
    return [(track, file.parent / path) for track, path in zip(tracks, paths, strict=True)]


def frames(options: ArtistsConfig) -> int:
    """Frames of an excerpt's spectrogram."""
    return 1 + int(options.seconds * options.sample_rate) // HOP


def heard(
    paths: Sequence[Path], options: ArtistsConfig, progress: Callable[[int], None] | None = None
) -> HostArray:
    """Spectrograms of many tracks.

    Parameters
    ----------
    progress : callable
        Told after each track how many are done.

    Returns
    -------
    HostArray [tracks, excerpts, mel bands, frames] of float16

    Raises
    ------
    UserError
        For a file that cannot be read or holds no sound.
    """
    shape = (len(paths), options.excerpts, options.mel_bands, frames(options))
    made = np.empty(shape, np.float16)
    for place, path in enumerate(paths):
        made[place] = spectrograms(path, options)
        if progress:
            progress(place + 1)
    return made


def spectrograms(path: Path, options: ArtistsConfig) -> HostArray:
    """Excerpts of a track, from its start to its end.

    Levels are told from the loudest place of each excerpt, so that it does not matter how loud a
    track was mastered: 0 is 80 dB below it or more, and 1 as loud. Where a track is shorter than
    an excerpt, it is repeated.

    Returns
    -------
    HostArray [excerpts, mel bands, frames] of float32

    Raises
    ------
    UserError
        For a file that cannot be read or holds no sound.
    """
    try:
        check_regular(path)
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            starts = np.linspace(0, max(seconds - options.seconds, 0), options.excerpts)
            return np.stack([_excerpt(file, float(start), options) for start in starts])
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{path} cannot be read as sound ({reason}): mend or replace it") from error


def _excerpt(file: soundfile.SoundFile, start: float, options: ArtistsConfig) -> HostArray:
    file.seek(int(start * file.samplerate))
    wanted = int(options.seconds * file.samplerate)
    sound = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
    if not len(sound) or not np.isfinite(sound).all():
        raise ValueError("no sound in it" if not len(sound) else "samples that are no numbers")
    sound = np.resize(sound, wanted)  # which repeats
    rate = options.sample_rate
    sound = librosa.resample(sound, orig_sr=file.samplerate, target_sr=rate, res_type="soxr_mq")
    sound = librosa.util.fix_length(sound, size=int(options.seconds * rate))
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused
        power = librosa.feature.melspectrogram(
            y=sound, sr=rate, n_fft=WINDOW, hop_length=HOP, n_mels=options.mel_bands
        )
    if not np.isfinite(power).all():
        raise ValueError("samples that are too large")
    level = librosa.power_to_db(power, ref=np.max, amin=1e-10, top_db=_LOUDNESS)
    return np.asarray(1 + level / _LOUDNESS, np.float32)
