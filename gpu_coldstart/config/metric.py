"""Parameters of the spaces that are learned as metrics."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from gpu_coldstart.config.base import (
    Choices,
    Count,
    Natural,
    NonNegative,
    Parameters,
    Positive,
    Rate,
    Searched,
)

__all__ = ["CmlConfig", "HlrConfig"]


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


RelationName = Literal["hlr", "hlr++", "lrml", "attcml", "transcf", "none"]


class HlrConfig(Parameters):
    """The HLR space: users' relations to tracks, by one of several models.

    Attributes
    ----------
    relation : {"hlr", "hlr++", "lrml", "attcml", "transcf", "none"}
        Hierarchical latent relations (Tran et al. 2021), or a model that they are compared with:
        LRML (Tay, Tuan & Hui 2018), AttCML, TransCF (Park et al. 2018); or none, as in CML.
    dimension : int
        Dimension d.
    memories : int
        Slots of the memory that relations are recalled from, in HLR, HLR++ and LRML.
    key_length : float
        Greatest length of the memory's keys. Short ones recall nearly the same for every pair; long
        ones tell pairs apart, and may fit those that are learned at the cost of others.
    history : int
        Streamed tracks of a user that a relation looks at: drawn in training; of a cold user, the
        most streamed of the registration day. For TransCF also the users of a track, in training.
    margin : float
        By how much the squared distance to another track should exceed that to a streamed one.
    regularization : float
        Weight of what keeps TransCF's users and tracks near their neighbours and each other.
    learning_rate : float
        Of Adam.
    batch_size : int
        Pairs of a user and a streamed track.
    epochs : int
        Maximum number of passes over all of them.
    held_out : float
        Share of the pairs that are not learned from, but tell when to stop.
    patience : int
        Stop after this many epochs without a smaller loss of the pairs held out, and keep the best
        epoch; 0 never stops early and keeps the last.
    """

    relation: Annotated[RelationName, Choices(get_args(RelationName))] = "hlr"
    dimension: Annotated[Count, Searched(32, 256, log=True)] = 100
    memories: Annotated[Count, Searched(5, 50, log=True)] = 20
    key_length: Annotated[Positive, Searched(1, 20, log=True)] = 1.0
    history: Annotated[Count, Searched(5, 100, log=True)] = 10
    margin: Annotated[Positive, Searched(0.1, 2, log=True)] = 0.5
    regularization: Annotated[NonNegative, Searched(0.001, 1, log=True)] = 0.1
    learning_rate: Rate = 0.002
    batch_size: Annotated[Count, Searched(256, 4096, log=True)] = 1000
    epochs: Count = 20
    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    patience: Natural = 3
