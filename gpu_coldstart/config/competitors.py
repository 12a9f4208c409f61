"""Parameters of the models that the paper compares with (4.1.3), and of later ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gpu_coldstart.config.base import (
    Choices,
    Count,
    Decay,
    Listed,
    Natural,
    NonNegative,
    Parameters,
    Positive,
    Rate,
    Searched,
)
from gpu_coldstart.config.streams import StreamsConfig

__all__ = [
    "AldiConfig",
    "ClcRecConfig",
    "ContentConfig",
    "DropoutNetConfig",
    "GarConfig",
    "HeaterConfig",
    "MeluConfig",
]

Share = Annotated[float, Field(ge=0, le=1)]


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
    dropout: Annotated[Share, Searched(0, 1)] = 0.5
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


class ContentConfig(StreamsConfig):
    """Settings of Heater, CLCRec, GAR and ALDI; see also :class:`StreamsConfig`.

    Attributes
    ----------
    tracks : int
        As many more are drawn for each user.
    """

    tracks: Annotated[Count, Searched(2, 64, log=True)] = 8


class HeaterConfig(ContentConfig):
    """Settings of Heater (Zhu et al. 2020).

    Attributes
    ----------
    experts : int
        Whose mixture stands in for a place in the warm space.
    randomised : float
        Share of the users who come by the mixture in training, rather than by the place.
    similarity : float
        Weight of the squared distance between both.
    """

    experts: Annotated[Count, Searched(1, 10)] = 5
    randomised: Annotated[Share, Searched(0, 1)] = 0.9
    similarity: Annotated[NonNegative, Searched(1e-3, 1, log=True)] = 0.01


class ClcRecConfig(ContentConfig):
    """Settings of CLCRec (Wei et al. 2021).

    Attributes
    ----------
    temperature : float
        That products are divided by before they are contrasted.
    alignment : float
        Weight of contrasting users with their content; the rest is for users with tracks.
    hybrid : float
        Share of the users who come by their content when they are contrasted with tracks.
    """

    tracks: Annotated[Count, Searched(8, 128, log=True)] = 32
    temperature: Annotated[Positive, Searched(0.1, 10, log=True)] = 2.0
    alignment: Annotated[Share, Searched(0, 1)] = 0.5
    hybrid: Annotated[Share, Searched(0, 1)] = 0.5


class GarConfig(ContentConfig):
    """Settings of GAR (Chen et al. 2022).

    Attributes
    ----------
    similarity : float
        Weight, for the generator, of the distance from the user's place; the rest is for the
        recommender's being taken in.
    drawn : float
        Weight, for the recommender, of the tracks drawn; the rest is for places generated.
    """

    similarity: Annotated[Share, Searched(0.5, 1)] = 0.99
    drawn: Annotated[Share, Searched(0.5, 1)] = 0.95


class AldiConfig(ContentConfig):
    """Settings of ALDI (Huang et al. 2023).

    Attributes
    ----------
    rating, ranking, identification : float
        Weights of what the student has from the teacher: the scores, the order of two tracks, and
        how users differ.
    trust : float
        How far order and difference count for users of few and popular tracks: see
        :func:`gpu_coldstart.models.aldi.trusted`.
    """

    rating: Annotated[NonNegative, Searched(0.01, 10, log=True)] = 1.0
    ranking: Annotated[NonNegative, Searched(0.01, 10, log=True)] = 0.9
    identification: Annotated[NonNegative, Searched(1e-3, 1, log=True)] = 0.05
    trust: Annotated[Positive, Searched(0.5, 20, log=True)] = 4.0
