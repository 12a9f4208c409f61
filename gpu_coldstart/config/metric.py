"""Parameters of the spaces that are learned as metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from gpu_coldstart.config.base import Choices, Count, NonNegative, Parameters, Positive, Searched

__all__ = ["CmlConfig"]


class CmlConfig(Parameters):
    """The CML space: Collaborative Metric Learning (Hsieh et al. 2017).

    Attributes
    ----------
    dimension : int
        Dimension d.
    margin : float
        By how much squared distances to other tracks should exceed that to a streamed one.
    covariance : float
        Weight of the squared covariances of different dimensions.
    sampler : {"uniform", "popular", "two-stage"}
        What tracks that a user did not stream are drawn by: all alike; by popularity; or, in two
        stages, candidates of a batch by popularity, and of these by similarity to the streamed
        track (Tran, Sweeney & Lee 2019).
    popularity_power : float
        Exponent on the popularity, for the latter two.
    candidates : int
        Distinct tracks drawn in the first of two stages.
    negatives : int
        Tracks drawn for each that was streamed. The nearest is pushed away; how many are too near
        says how hard.
    learning_rate : float
        Of AdaGrad.
    batch_size : int
        Pairs of a user and a streamed track.
    epochs : int
        Passes over all of them.
    """

    dimension: Annotated[Count, Searched(32, 256, log=True)] = 128
    margin: Annotated[Positive, Searched(0.1, 2, log=True)] = 1.0
    covariance: Annotated[NonNegative, Searched(0.01, 100, log=True)] = 1.0
    sampler: Annotated[
        Literal["uniform", "popular", "two-stage"], Choices(("uniform", "popular", "two-stage"))
    ] = "uniform"
    popularity_power: Annotated[NonNegative, Searched(0, 1)] = 1.0
    candidates: Count = 2000
    negatives: Annotated[Count, Searched(2, 50, log=True)] = 10
    learning_rate: Annotated[Positive, Searched(0.01, 1, log=True)] = 0.1
    batch_size: Annotated[Count, Searched(64, 4096, log=True)] = 256
    epochs: Count = 10
