"""Parameters of the models that the paper compares with (4.1.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gpu_coldstart.config.base import Count, Listed, Natural, NonNegative, Parameters, Positive

__all__ = ["DropoutNetConfig"]


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

    hidden: Listed[Count] = (800, 400)
    rank: Count = 200
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.5
    top: Count = 2500
    cold: Literal["null", "transform"] = "null"
    learning_rate: Positive = 0.001
    weight_decay: NonNegative = 0.0
    batch_size: Annotated[int, Field(ge=2, le=1 << 20)] = 256
    epochs: Count = 40
    patience: Natural = 5
