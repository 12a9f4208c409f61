"""Parameters of the built-in spaces, models and strategies.

They are separate from the classes that take them, so that building a configuration does not
import the numerical code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gpu_coldstart.config.base import (
    MOST,
    Choices,
    Count,
    Decay,
    Distinct,
    Listed,
    Natural,
    NonNegative,
    Parameters,
    Positive,
    Rate,
    Searched,
    one_of,
)
from gpu_coldstart.registry import SPACES, STRATEGIES, section

__all__ = [
    "AlsFoldInConfig",
    "BestConfig",
    "InputFeaturesConfig",
    "ItemItemConfig",
    "MixtureConfig",
    "MlpConfig",
    "NeighboursConfig",
    "RegistrationDayConfig",
    "RidgeConfig",
    "SoftConfig",
    "StrategyName",
    "Training",
    "TtSvdConfig",
    "UtAlsConfig",
]


class UtAlsConfig(Parameters):
    """The UT-ALS space (3.1.1): affinities of users and tracks, factorised by weighted ALS.

    Attributes
    ----------
    factors : int
        Dimension d; 256 in the paper.
    iterations, cg_steps : int
        Alternations, and conjugate-gradient steps for each row in each of them.
    regularization : float
        The l of the objective.
    confidence : float
        Confidence of a cell is ``1 + confidence * affinity``.
    stream_weight : float
        Affinity gained by streaming a track n times: ``stream_weight * log(1 + n)``. The
        logarithm keeps one song on repeat from outweighing a taste.
    favorite_track_weight, favorite_album_weight, favorite_artist_weight : float
        Affinity a track gains when the user makes it, its album or its artist a favourite. The
        wider the favourite, the less it says about one track.
    """

    factors: Annotated[Count, Searched(32, 512, log=True)] = 256
    iterations: Annotated[Count, Searched(5, 30)] = 15
    regularization: Annotated[NonNegative, Searched(0.1, 1000, log=True)] = 10.0
    confidence: Annotated[float, Field(ge=1e-9, le=MOST), Searched(0.1, 100, log=True)] = 10.0
    cg_steps: Count = 3
    stream_weight: NonNegative = 1.0
    favorite_track_weight: Annotated[NonNegative, Searched(0, 5)] = 2.0
    favorite_album_weight: Annotated[NonNegative, Searched(0, 2)] = 0.5
    favorite_artist_weight: Annotated[NonNegative, Searched(0, 1)] = 0.2


class TtSvdConfig(Parameters):
    """The TT-SVD space (3.1.2): PMI of tracks in collections, factorised by truncated SVD.

    Attributes
    ----------
    dimension : int
        Dimension d; 128 in the paper.
    shift : float
        Negative samples k of the shifted PMI; 1 is no shift.
    smoothing : float
        Exponent on the context counts; 1 is none, word2vec's 0.75 lifts rare tracks less.
    exponent : float
        Track vectors are ``U * S**exponent`` before they are made unit.
    min_count : int
        Pairs of tracks together in fewer collections are left out; at the paper's
        size most pairs occur only once, and dropping them makes the SVD much cheaper.
    max_tracks : int
        A longer collection contributes only this many of its tracks, the most played first: pairs
        grow with the square of the length.
    oversamples, power_iterations : int
        Accuracy of the randomised SVD.
    history : {"distinct", "streams"}
        A warm user is the mean of the tracks they streamed, each once or as often as streamed.
    """

    dimension: Annotated[Count, Searched(32, 512, log=True)] = 128
    shift: Annotated[float, Field(ge=1e-9, le=MOST), Searched(1, 20, log=True)] = 1.0
    smoothing: Annotated[NonNegative, Searched(0.5, 1)] = 1.0
    exponent: Annotated[NonNegative, Searched(0, 1)] = 0.5
    min_count: Annotated[Count, Searched(1, 5)] = 2
    max_tracks: Count = 100
    oversamples: Natural = 30
    power_iterations: Natural = 2
    history: Annotated[Literal["distinct", "streams"], Choices(("distinct", "streams"))] = (
        "distinct"
    )


class Training(Parameters):
    """How a network is trained (3.2.3); the parameters of every model include these.

    Attributes
    ----------
    optimizer : {"adam", "sgd"}
        "Stochastic gradient descent" of the paper is Adam in its released code.
    learning_rate, momentum, weight_decay : float
        ``momentum`` is for ``sgd`` only.
    batch_size : int
    drop_last : bool
        Leave out the users of an epoch's last batch where it is not full, as the release does.
    epochs : int
        Maximum number of passes over the warm users.
    patience : int
        Stop after this many epochs without a better validation cosine and keep the best epoch; 0
        never stops early and keeps the last.
    precision : {"float32", "bfloat16"}
        What the factors of a network's products are rounded to while it learns, by
        :class:`torch.autocast`; weights are of float32, and so is all that predicts.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate = 0.001
    momentum: NonNegative = 0.9
    weight_decay: Decay = 0.0
    batch_size: Annotated[int, Field(ge=2, le=MOST), Searched(64, 1024, log=True)] = 512
    drop_last: bool = False
    epochs: Count = 30
    patience: Natural = 5
    precision: Literal["float32", "bfloat16"] = "float32"

    def epochs_in(self, space: str) -> int:
        """Epochs in a space: ``epochs_<space>`` where there is such a parameter, else ``epochs``.

        Examples
        --------
        >>> MlpConfig(epochs=7, epochs_ut_als=9).epochs_in("ut-als")
        9
        """
        return int(getattr(self, self._epochs(space)))

    @classmethod
    def unread(cls, space: str) -> set[str]:
        """The parameters of epochs that training in a space does not read: those of others.

        Examples
        --------
        >>> sorted(MlpConfig.unread("ut-als"))
        ['epochs', 'epochs_tt_svd']
        """
        every = {"epochs", *(f"epochs_{section(other)}" for other in SPACES.names())}
        return (every & set(cls.model_fields)) - {cls._epochs(space)}

    @classmethod
    def _epochs(cls, space: str) -> str:
        mine = f"epochs_{section(space)}"
        return mine if mine in cls.model_fields else "epochs"


class MlpConfig(Training):
    """The paper's network from input vector to space (3.2.3); see also :class:`Training`.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers; ReLU, then batch normalisation, after each.
    normalize_output : bool
        Scale predictions to unit length, as the targets are (the release does, the paper is
        silent).
    epochs_tt_svd, epochs_ut_als : int
        Maximum number of passes over the warm users in these spaces; ``epochs`` is for others.
    """

    hidden: Annotated[
        Listed[Count], Choices(((200,), (800,), (400, 300, 200), (800, 400), (1024, 512, 256)))
    ] = (400, 300, 200)
    normalize_output: Annotated[bool, Choices((True, False))] = True
    epochs_tt_svd: Count = 30
    epochs_ut_als: Count = 30


class RegistrationDayConfig(Parameters):
    """Settings of Registration Day Streams.

    Attributes
    ----------
    fallback : {"popularity", "none"}
        What a user without a stream gets: the chart, as the paper states; or, as in the release,
        whatever comes first when every track scores 0.
    """

    fallback: Literal["popularity", "none"] = "popularity"


class InputFeaturesConfig(Parameters):
    """Settings of Input Features Clustering.

    Attributes
    ----------
    k : int
        Number of segments.
    points : int
        Learn the segments from a sample of at most this many users per segment; 0 means all, as in
        the release, which holds the whole matrix of input vectors.
    """

    k: Annotated[Count, Searched(10, 500, log=True)] = 100
    points: Natural = 256


class SoftConfig(Parameters):
    """Settings of soft allocation.

    Attributes
    ----------
    segments : int
        Nearest segments among which the list is shared.
    overshoot : int
        Places shared beyond the list's length, lost again to tracks several segments offer.
    """

    segments: Annotated[Count, Searched(2, 20)] = 5
    overshoot: Annotated[Natural, Searched(0, 20)] = 4


class MixtureConfig(Parameters):
    """Settings of Mixture.

    Attributes
    ----------
    segments : int
        Nearest segments that are mixed.
    sharpnesses : tuple of float
        How fast a segment's weight falls with its squared distance, in units of the mean one of the
        nearest; the best on the validation users is kept.
    """

    segments: Annotated[Count, Searched(5, 200, log=True)] = 50
    sharpnesses: Distinct[Positive] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class NeighboursConfig(Parameters):
    """Settings of Nearest Neighbours.

    Attributes
    ----------
    users : int
        Nearest warm users whose streams count.
    sharpnesses : tuple of float
        How fast a user's weight falls with the squared distance, in units of the mean one of the
        nearest; the best on the validation users is kept.
    """

    users: Annotated[Count, Searched(20, 1000, log=True)] = 200
    sharpnesses: Distinct[Positive] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class AlsFoldInConfig(Parameters):
    """Settings of ALS fold-in, by default those by which UT-ALS learns.

    Attributes
    ----------
    confidence : float
        Confidence of a track streamed n times is ``1 + confidence * log(1 + n)``.
    regularization : float
        The l of the objective.
    """

    confidence: Annotated[Positive, Searched(0.01, 1000, log=True)] = 10.0
    regularization: Annotated[Positive, Searched(0.01, 1000, log=True)] = 10.0


StrategyName = Annotated[str, AfterValidator(lambda name: one_of(name, STRATEGIES.names()))]


def _others(names: tuple[str, ...]) -> tuple[str, ...]:
    if "best" in names:
        raise ValueError("has 'best' among its own experts: leave it out")
    return names


_EXPERTS = ("popularity", "registration-day", "semi", "ridge")
_MORE_EXPERTS = ((), ("neighbours",), ("item-item",), ("gate",), ("item-item", "gate"))


class BestConfig(Parameters):
    """Settings of Best.

    Attributes
    ----------
    experts : tuple of str
        Strategies whose lists are blended.
    strengths : tuple of float
        Of the regularisation of the blend; the best on folds of the validation users is kept.
    folds : int
        Parts of the validation users, each blended as the others say.
    users : int
        Validation users who take part at most.
    discovery : float
        How much a track's score gains by being less popular, in units of the logarithm of its
        popularity rank; 0 is accuracy alone.
    """

    experts: Annotated[
        Distinct[StrategyName],
        AfterValidator(_others),
        Choices(tuple((*_EXPERTS, *more) for more in _MORE_EXPERTS)),
    ] = _EXPERTS
    strengths: Distinct[Positive] = (0.1, 0.01, 0.001)
    folds: Annotated[int, Field(ge=2, le=100)] = 3
    users: Count = 2000
    discovery: NonNegative = 0.0


class RidgeConfig(Parameters):
    """Settings of Ridge.

    Attributes
    ----------
    prior_events : float
        Events on registration day that weigh as much as age and country: each block of the input
        vector is weighed by its share of the evidence on the user.
    components : int
        Principal components of the input vectors that take part.
    track_components : int
        How many of them do where tracks are told from the input vector at once.
    routes : tuple of {"places", "tracks"}
        Whether tracks are told from the place in the space that is told from the input vector, or
        from the input vector at once; each at every strength.
    strengths : tuple of float
        Of the regularisation of what is told from the input vector, in units of a block's variance.
    place_strengths : tuple of float
        Of that of what is told from the place, in units of the places' variance: the first at every
        strength, the others at the best of these.
    targets : tuple of {"all", "month"}
        What warm users streamed that is to be told: all that counts for popularity, or on the days
        after registration on which cold users are judged. The first is learned at every strength,
        the others at the best.
    """

    prior_events: Annotated[Positive, Searched(1, 1000, log=True)] = 20.0
    components: Annotated[Count, Searched(50, 2000, log=True)] = 1500
    track_components: Annotated[Count, Searched(50, 2000, log=True)] = 600
    routes: Distinct[Literal["places", "tracks"]] = ("places", "tracks")
    strengths: Distinct[Positive] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    place_strengths: Distinct[Positive] = (0.0001, 0.001, 0.01)
    targets: Distinct[Literal["all", "month"]] = ("all", "month")


class ItemItemConfig(Parameters):
    """Settings of Item-Item.

    Attributes
    ----------
    kept : int
        Later tracks that are kept of each first-day track, those of the largest lift times users.
    shrinkages : tuple of float
        Users who stream as the chart does and are added to those of each first-day track; the best
        on the validation users is kept.
    """

    kept: Annotated[Count, Searched(50, 1000, log=True)] = 200
    shrinkages: Distinct[Positive] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
