"""Parameters of the models that the paper compares with (4.1.3), and of later ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gpu_coldstart.config.base import Count, Listed, Natural, NonNegative, Parameters, Positive
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

    hidden: Listed[Count] = (800, 400)
    rank: Count = 200
    dropout: Share = 0.5
    top: Count = 2500
    cold: Literal["null", "transform"] = "null"
    learning_rate: Positive = 0.001
    weight_decay: NonNegative = 0.0
    batch_size: Annotated[int, Field(ge=2, le=1 << 20)] = 256
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

    embedding: Count = 64
    hidden: Count = 64
    support: Count = 16
    local_learning_rate: Positive = 0.03
    local_steps: Natural = 1
    first_order: bool = False
    query: Count = 16
    negatives: Count = 8
    learning_rate: Positive = 0.0005
    batch_size: Count = 64
    epochs: Count = 20
    patience: Natural = 5


class ContentConfig(StreamsConfig):
    """Settings of Heater, CLCRec, GAR and ALDI; see also :class:`StreamsConfig`.

    Attributes
    ----------
    tracks : int
        As many more are drawn for each user.
    """

    tracks: Count = 8


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

    experts: Count = 5
    randomised: Share = 0.9
    similarity: NonNegative = 0.01


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

    tracks: Count = 32
    temperature: Positive = 2.0
    alignment: Share = 0.5
    hybrid: Share = 0.5


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

    similarity: Share = 0.99
    drawn: Share = 0.95


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

    rating: NonNegative = 1.0
    ranking: NonNegative = 0.9
    identification: NonNegative = 0.05
    trust: Positive = 4.0
