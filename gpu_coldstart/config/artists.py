"""Parameters of what tells artists apart by sound; no run has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gpu_coldstart.config.base import Count, Parameters, Positive, Rate

__all__ = ["ArtistsConfig"]

_Share = Annotated[float, Field(ge=0, le=1)]


class ArtistsConfig(Parameters):
    """A network that places tracks by sound, and the clustering of an artist's tracks.

    Attributes
    ----------
    sample_rate : int
        Hz, to which all sound is resampled.
    mel_bands : int
        Of the spectrogram.
    seconds : float
        Length of an excerpt.
    excerpts : int
        How many of a track are listened to, evenly spread over it.
    channels : int
        Of each convolution.
    dimension : int
        Of an embedding.
    margin : float
        By how much the distance to another artist's track should exceed that to the same artist's.
    same_genre : float
        Probability that a negative is drawn from the genre of the anchor.
    miner : {"none", "all", "semihard", "hard"}
        Which triplets of a batch are learned from: those drawn, or all there are among its tracks,
        of these those within the margin, or those whose negative is nearer than the positive.
    learning_rate : float
        Of Adam.
    batch_size : int
        Triplets.
    epochs : int
        In each, as many triplets are drawn as there are tracks.
    validation : float
        Share of the artists that the network does not learn from and the threshold does.
    """

    sample_rate: Annotated[int, Field(ge=4000, le=192_000)] = 22_050
    mel_bands: Annotated[int, Field(ge=8, le=512)] = 64
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 3.0
    excerpts: Count = 16
    channels: Count = 64
    dimension: Count = 64
    margin: Positive = 0.2
    same_genre: _Share = 0.5
    miner: Literal["none", "all", "semihard", "hard"] = "all"
    learning_rate: Rate = 1e-3
    batch_size: Count = 32
    epochs: Count = 40
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.25
