"""Parameters of the models that the paper compares with (4.1.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gpu_coldstart.config.base import (
    Choices,
    Count,
    Decay,
    Listed,
    Natural,
    Parameters,
    Positive,
    Rate,
    Searched,
)

__all__ = ["DropoutNetConfig", "MeluConfig"]


class DropoutNetConfig(Parameters):
    """Settings of DropoutNet (Volkovs, Yu & Poutanen 2017).

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers of both towers.
    rank : int
        Dimension of the space that the towers lead to.
    dropout : float
        Share of a batch's users who lose their place in the warm space, and, independently, of its
        tracks.
    top : int
        Half of a batch's tracks are from among so many of the largest products with its users; the
        others are any.
    cold : {"null", "transform"}
        What stands in for a cold user's place in the warm space: nothing, as in training by
        dropout, or the mean of the tracks streamed on registration day (the authors' transform).
    learning_rate, weight_decay : float
        Of Adam.
    batch_size : int
        Users of a batch; it has twice as many tracks.
    epochs : int
        Maximum number of passes over the warm users.
    patience : int
        Stop after this many epochs without a better NDCG of the validation users and keep the best
        epoch; 0 never stops early and keeps the last.
    """

    hidden: Annotated[Listed[Count], Choices(((200,), (400,), (400, 200), (800, 400)))] = (800, 400)
    rank: Annotated[Count, Searched(50, 400, log=True)] = 200
    dropout: Annotated[float, Field(ge=0, le=1), Searched(0, 1)] = 0.5
    top: Annotated[Count, Searched(250, 10_000, log=True)] = 2500
    cold: Annotated[Literal["null", "transform"], Choices(("null", "transform"))] = "null"
    learning_rate: Rate = 0.001
    weight_decay: Decay = 0.0
    batch_size: Annotated[int, Field(ge=2, le=1 << 20), Searched(64, 1024, log=True)] = 256
    epochs: Count = 40
    patience: Natural = 5


class MeluConfig(Parameters):
    """Settings of MeLU (Lee et al. 2019).

    Attributes
    ----------
    embedding : int
        Width of the embedding of a user, and of a track's.
    hidden : int
        Width of both hidden layers of the decision.
    support : int
        Tracks of each kind that the decision layers are adapted to at most: streamed or made
        favourites on registration day, skipped or banned, and drawn.
    local_learning_rate : float
        Of the steps of gradient descent that adapt them.
    local_steps : int
        How many; 0 adapts nothing.
    first_order : bool
        Take the adaptation's gradient for a constant while training, as the authors' code does.
    query : int
        Other tracks of a warm user that an adapted network is judged by in a step, at most.
    negatives : int
        Tracks drawn for each of these.
    learning_rate : float
        Of Adam.
    batch_size : int
        Users.
    epochs : int
        Maximum number of passes over the warm users.
    patience : int
        Stop after this many epochs without a better NDCG of the validation users and keep the best
        epoch; 0 never stops early and keeps the last.
    """

    embedding: Annotated[Count, Searched(16, 128, log=True)] = 64
    hidden: Annotated[Count, Searched(16, 128, log=True)] = 64
    support: Annotated[Count, Searched(4, 32, log=True)] = 16
    local_learning_rate: Annotated[Positive, Searched(1e-3, 0.3, log=True)] = 0.03
    local_steps: Annotated[Natural, Searched(0, 3)] = 1
    first_order: bool = False
    query: Count = 16
    negatives: Annotated[Count, Searched(2, 32, log=True)] = 8
    learning_rate: Rate = 0.0005
    batch_size: Annotated[Count, Searched(16, 256, log=True)] = 64
    epochs: Count = 20
    patience: Natural = 5
