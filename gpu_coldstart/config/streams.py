"""Parameters of the strategies whose networks are fitted to the tracks that users streamed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gpu_coldstart.config.base import (
    Choices,
    Count,
    Decay,
    Distinct,
    Natural,
    Parameters,
    Positive,
    Rate,
    Searched,
)

__all__ = ["GateConfig", "StreamsConfig", "TrackSoftmaxConfig"]


class StreamsConfig(Parameters):
    """Settings of any of them.

    Attributes
    ----------
    hidden : int
        Width of the hidden layer.
    dropout : float
        Share of the blocks of an input vector that are hidden from the network in training, so that
        it does not lean on one signal.
    tracks : int
        Of a user with more, so many in each epoch are trained on.
    learning_rate, weight_decay : float
        Of Adam.
    batch_size : int
    epochs : int
        Maximum number of passes over the warm users.
    patience : int
        Stop after this many epochs without a better NDCG of the validation users and keep the best
        epoch; 0 never stops early and keeps the last.
    """

    hidden: Annotated[Count, Searched(64, 1024, log=True)] = 256
    dropout: Annotated[float, Field(ge=0, le=0.95), Searched(0, 0.6)] = 0.2
    tracks: Annotated[Count, Searched(8, 128, log=True)] = 32
    learning_rate: Rate = 0.001
    weight_decay: Decay = 0.0
    batch_size: Annotated[Count, Searched(64, 1024, log=True)] = 256
    epochs: Count = 40
    patience: Natural = 5


class GateConfig(StreamsConfig):
    """Settings of Gate.

    Attributes
    ----------
    segments : tuple of int
        Numbers of segments; the mixtures over each are averaged.
    smoothing : float
        How many average warm users join each segment, so that no track is impossible there.
    """

    segments: Annotated[
        Distinct[Count],
        Choices(((50,), (200,), (50, 100, 200), (50, 100, 200, 400), (100, 200, 400, 800))),
    ] = (50, 100, 200, 400)
    smoothing: Annotated[Positive, Searched(0.02, 2, log=True)] = 0.2


class TrackSoftmaxConfig(StreamsConfig):
    """Settings of Track Softmax.

    Attributes
    ----------
    full_up_to : int
        With more tracks than this the sum over all of them is estimated from a sample.
    negatives : int
        Size of the sample, the same for all users of a batch.
    negatives_power : float
        It is drawn by popularity to this power; 0 draws all tracks alike.
    """

    tracks: Annotated[Count, Searched(8, 128, log=True)] = 64
    full_up_to: Natural = 50_000
    negatives: Annotated[Count, Searched(1024, 32_768, log=True)] = 8192
    negatives_power: Annotated[float, Field(ge=0, le=1), Searched(0, 1)] = 0.75
