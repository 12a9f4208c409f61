"""What was learned: a network, its threshold, a baseline, and of whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import librosa
import numpy as np
import torch
from safetensors.numpy import load, save

from gpu_coldstart.artists.clustering import fit_threshold, merged
from gpu_coldstart.artists.network import ArtistNetwork, placed
from gpu_coldstart.artists.training import fit
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.engine.base import Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs.artifacts import guarded, write_atomically

__all__ = ["ArtistModel", "Mfcc", "Tracks"]

_FORMAT = "gpu_coldstart artists 1"
_GROUPS = 120
_COEFFICIENTS = 20


@dataclass(frozen=True)
class Tracks:
    """Tracks that can be heard.

    Attributes
    ----------
    heard : HostArray [tracks, excerpts, mel bands, frames] of float16
    artists : HostArray [tracks] of int64
        Numbers into ``names``, all there.
    genres : HostArray [tracks] of int64
        Numbers from 0; -1 for none.
    names : tuple of str
        Ids of the artists as text.
    """

    heard: HostArray
    artists: HostArray
    genres: HostArray
    names: tuple[str, ...]

    def of(self, chosen: HostArray) -> Tracks:
        """The tracks of some artists, by their numbers in ascending order."""
        which = np.isin(self.artists, chosen)
        return Tracks(
            self.heard[which],
            np.searchsorted(chosen, self.artists[which]),
            self.genres[which],
            tuple(self.names[number] for number in chosen),
        )


@dataclass(frozen=True)
class Mfcc:
    """The baseline: mean and deviation of a track's mel-frequency cepstral coefficients.

    Attributes
    ----------
    mean, scale : HostArray [40] of float32
        Of the tracks that the network learned from.
    threshold : float
    """

    mean: HostArray
    scale: HostArray
    threshold: float

    @staticmethod
    def raw(heard: HostArray) -> HostArray:
        """Coefficients [tracks, 40] of float32, as they are."""
        each = librosa.feature.mfcc(S=heard.astype(np.float32), n_mfcc=_COEFFICIENTS)
        return np.concatenate([each.mean(axis=(1, 3)), each.std(axis=(1, 3))], axis=1)

    def place(self, heard: HostArray) -> HostArray:
        """Coefficients [tracks, 40] of float32, standardised."""
        return (self.raw(heard) - self.mean) / self.scale


@dataclass(frozen=True)
class ArtistModel:
    """A network that has learned from artists, and where to cut the clusters of others.

    Attributes
    ----------
    options : ArtistsConfig
    network : ArtistNetwork
        On the engine's device.
    threshold : float
        See :func:`gpu_coldstart.artists.clustering.clusters`.
    baseline : Mfcc
    known : tuple of str
        Ids of the artists that it has learned from, those of the threshold included.
    """

    options: ArtistsConfig
    network: ArtistNetwork
    threshold: float
    baseline: Mfcc
    known: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        engine: Engine,
        tracks: Tracks,
        options: ArtistsConfig,
        seed: int,
        progress: Callable[[int, float], None],
    ) -> Self:
        """Learn the network from some artists, and the thresholds from the others.

        Raises
        ------
        UserError
            When there are fewer than two artists with two tracks or more for either.
        """
        random = np.random.default_rng(seed)
        order = random.permutation(len(tracks.names))
        held = max(2, round(options.validation * len(order)))
        learned, judged = (tracks.of(np.sort(some)) for some in (order[held:], order[:held]))
        for some in (learned, judged):
            if (np.bincount(some.artists) > 1).sum() < 2:
                raise UserError(
                    f"the sound of {len(order)} artists is too little to learn from: two to learn "
                    "from, and two to find the threshold by, need two tracks or more"
                )
        network = fit(
            engine,
            learned.heard,
            learned.artists,
            learned.genres,
            options=options,
            seed=seed,
            progress=progress,
        )
        groups = merged(judged.artists, _GROUPS, random)
        raw = Mfcc.raw(learned.heard)
        scale = np.maximum(raw.std(axis=0), np.float32(1e-6))
        mfcc = Mfcc(raw.mean(axis=0), scale, 0.0)
        cut, baseline_cut = (
            fit_threshold([(places[group], judged.artists[group]) for group in groups])
            for places in (placed(engine, network, judged.heard), mfcc.place(judged.heard))
        )
        baseline = Mfcc(mfcc.mean, mfcc.scale, baseline_cut)
        return cls(options, network, cut, baseline, tracks.names)

    def place(self, engine: Engine, heard: HostArray) -> HostArray:
        """Embeddings [tracks, dimension] of float32."""
        return placed(engine, self.network, heard)

    def save(self, path: Path) -> None:
        """Write a safetensors file.

        Raises
        ------
        UserError
            When it cannot be written.
        """
        tensors = {f"network.{k}": v.cpu().numpy() for k, v in self.network.state_dict().items()}
        tensors |= {"mfcc.mean": self.baseline.mean, "mfcc.scale": self.baseline.scale}
        about = {
            "format": _FORMAT,
            "options": self.options.model_dump(),
            "threshold": self.threshold,
            "mfcc_threshold": self.baseline.threshold,
            "known": self.known,
        }
        write_atomically(path, save(tensors, {"about": json.dumps(about)}))

    @classmethod
    def load(cls, engine: Engine, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UserError
            When the file is missing, damaged, or another thing.
        """
        with guarded(path, "name a file that gpu-coldstart artists train has written"):
            content = read_bytes(path)
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            about: dict[str, Any] = json.loads(
                json.loads(content[8 : 8 + length])["__metadata__"]["about"]
            )
            if about["format"] != _FORMAT:
                raise ValueError(about["format"])
            options = ArtistsConfig(**about["options"])
            network = ArtistNetwork(options)
            mfcc = Mfcc(
                tensors.pop("mfcc.mean"), tensors.pop("mfcc.scale"), float(about["mfcc_threshold"])
            )
            state = {k.removeprefix("network."): torch.from_numpy(v) for k, v in tensors.items()}
            network.load_state_dict(state)
            known = tuple(map(str, about["known"]))
            threshold = float(about["threshold"])
        device = engine.to_torch(engine.asarray(np.zeros(1, np.float32))).device
        return cls(options, network.to(device), threshold, mfcc, known)
