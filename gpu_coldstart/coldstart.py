"""The fitted system: learn from a data set, recommend to anyone, save and load."""

from __future__ import annotations

import json
import logging
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart import strategies
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.newcomers import Newcomers, read_newcomers
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import InputVectors
from gpu_coldstart.predicting import predict
from gpu_coldstart.serving import bundle
from gpu_coldstart.serving.model import Fitted, encoded, loaded
from gpu_coldstart.serving.reasons import reasons_of, segments_of
from gpu_coldstart.spaces import Progress, silent
from gpu_coldstart.strategies import Ranking, Strategy, Users
from gpu_coldstart.strategies import carousels as playlists

__all__ = ["ColdStart"]

_log = logging.getLogger(__name__)


class ColdStart:
    """Recommends to users on the day they register.

    Parameters
    ----------
    space : str
        Embedding space: ``"tt-svd"``, ``"ut-als"``, ``"cml"``, ``"hlr"``, or one that an installed
        package adds.
    strategies : sequence of str, or dict
        Strategies to prepare (default: all); or a dict of their settings, as for other sections.
    engine : str or Engine
        ``"auto"``, ``"cpu"`` or ``"cuda"``; ``"spark"`` is ``"auto"``, and Apache Spark counts the
        interactions of the data set that is fitted (:meth:`Dataset.on_spark`).
    seed : int
        Seed of every random choice.
    **parameters : dict
        Other settings, a dict for each section of ``config.toml``, such as ``segments={"k": 100}``
        or ``mlp={"hidden": (200, 100)}``; ``preset="tiny"`` and ``protocol="paper"`` set many.

    Examples
    --------
    >>> from gpu_coldstart import Dataset
    >>> from gpu_coldstart.datasets.synthetic.generate import generate
    >>> from gpu_coldstart.datasets.synthetic.world import PRESETS
    >>> past = Dataset.from_frames(**generate(PRESETS["tiny"], seed=0))
    >>> model = ColdStart(space="tt-svd", preset="tiny", strategies=["semi"], engine="cpu")
    >>> lists = model.fit(past).recommend({"user_id": [7], "country": ["FR"], "age": [31]}, k=3)
    >>> lists.column_names
    ['user_id', 'rank', 'track_id', 'score', 'segment']
    >>> lists["rank"].to_pylist()
    [1, 2, 3]
    """

    _spark = False  # of a model that was loaded

    def __init__(
        self,
        *,
        space: str = "tt-svd",
        strategies: Sequence[str] | Mapping[str, Any] = (),
        engine: str | Engine = "auto",
        seed: int = 0,
        **parameters: Any,
    ):
        settings: dict[str, Any] = {"spaces": [space], "seed": seed}
        if isinstance(strategies, Mapping):
            parameters["strategies"] = dict(strategies)
        elif strategies:
            parameters["strategies"] = {"names": list(strategies)}
        for key, value in parameters.items():
            if isinstance(value, dict):
                settings |= {f"{key}.{name}": inner for name, inner in value.items()}
            else:
                settings["evaluation.protocol" if key == "protocol" else key] = value
        self.config = resolve(settings=settings)
        self._spark = engine == "spark"
        self._engine = _chosen("auto" if self._spark else engine)
        self._fitted: Fitted | None = None

    # -- learning ------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, progress: Progress = silent) -> ColdStart:
        """Learn from the past of a data set; returns the model itself.

        Parameters
        ----------
        progress : callable
            Called with the steps done, their total, and a short status.

        Raises
        ------
        UserError
            For unusable data, or settings that do not fit it.
        """
        from gpu_coldstart.serving.fitting import fit  # serving needs none of it

        if not isinstance(dataset, Dataset):
            raise UserError(
                f"fit takes a Dataset, not a {type(dataset).__name__}: make one of your tables "
                "with Dataset.from_frames or Dataset.from_parquet"
            )
        dataset = dataset.on_spark() if self._spark else dataset
        self._fitted = fit(self._engine, dataset, self.config, progress)
        for note in self._fitted.about["notes"]:
            _log.info("%s", note)
        return self

    @classmethod
    def from_run(
        cls, directory: str | Path, *, space: str | None = None, engine: str | Engine = "auto"
    ) -> ColdStart:
        """The model that a finished run has learned; nothing is learned again.

        Its bundle (:meth:`save`) also tells how good the lists were for the run's test users.

        Parameters
        ----------
        directory : path
            What the run left, such as ``runs/synthetic-small``.
        space : str, or None
            One of the run's spaces; None for its first.

        Raises
        ------
        UserError
            When there is no finished run, a file of it is damaged or missing, it has no such
            space, or its data set brings input vectors ready made.
        """
        from gpu_coldstart.runs.artifacts import guarded  # serving needs none of it
        from gpu_coldstart.serving.fitting import of_run

        model = cls.__new__(cls)
        model._engine = _chosen(engine)
        # Hashes vouch for files, not for their fitting together: one user tells.
        with guarded(f"what a stage left in {directory}", "do the run again with --overwrite"):
            model._fitted, model.config = of_run(model._engine, Path(directory), space)
            model.recommend({"user_id": [0]}, k=1, explain=True)
        return model

    @property
    def fitted(self) -> Fitted:
        """Everything that was learned.

        Raises
        ------
        UserError
            Before :meth:`fit` or :meth:`load`.
        """
        if self._fitted is None:
            raise UserError("this ColdStart has not learned anything yet: call fit, or load one")
        return self._fitted

    # -- recommending --------------------------------------------------------------------------

    def recommend(
        self,
        users: Any,
        interactions: Any = None,
        *,
        k: int = 50,
        strategy: str | None = None,
        explain: bool = False,
        exclude_seen: bool | None = None,
    ) -> pa.Table:
        """Rank tracks for users, whether or not the model has met them.

        Parameters
        ----------
        users : frame
            Anything with ``__arrow_c_stream__`` or a dict of columns: ``user_id``, and
            ``country``, ``age`` and ``registered_at`` where they are known.
        interactions : frame, or None
            Their events, as in the data contract. Where both ``registered_at`` and ``timestamp``
            are given, those of the registration day count, else all.
        k : int
            Length of the lists.
        strategy : str, or None
            One of the strategies the model was made with; None for ``"best"``, the paper's
            ``"semi"`` or the first, whichever of these comes first and is there.
        explain : bool
            Add the column ``reasons``.
        exclude_seen : bool, or None
            Leave out what a user streamed that day; None for ``strategies.exclude_seen``.

        Returns
        -------
        pyarrow.Table
            Users in the order given, best track first. ``user_id``, ``rank`` (from 1),
            ``track_id``, ``title`` and ``artist_name`` where the model has them, ``score``,
            ``segment`` (nearest to the prediction) and, where asked for,
            ``reasons``: a struct of ``segments`` (those the list is made of, with their ``share``
            in it and a ``description``), ``signals`` (what moved the prediction, with its
            ``share``, for strategies that use it) and ``parts`` (what lifts the list's scores
            above those of other candidates, with ``kind``, ``name`` and ``share``, for ``best``);
            see :mod:`gpu_coldstart.serving.reasons`. Shares add up to 1. The metadata
            entry ``notes`` is a JSON list of what was not understood, such as unknown tracks,
            which is logged as well.

        Raises
        ------
        UserError
            For users or events that break the data contract, an unknown strategy, or a ``k`` that
            the catalogue cannot serve.
        """
        fitted = self.fitted
        chosen = self._strategy(strategy)
        k = self._length(k)
        newcomers, batch = self._users(users, interactions)
        seen = self.config.strategies.exclude_seen if exclude_seen is None else exclude_seen
        ranking = strategies.recommend(chosen, batch, k, exclude_seen=seen)
        nearest, _ = self._engine.nearest(batch.predicted, fitted.context.centroids, 1)
        columns = self._columns(newcomers, ranking, self._engine.to_host(nearest[:, 0]))
        if explain:
            reasons = reasons_of(
                chosen,
                batch,
                ranking.tracks,
                network=fitted.network,
                described=fitted.described,
            )
            columns["reasons"] = reasons.take(pa.array(np.repeat(np.arange(len(batch)), k)))
        return pa.table(columns).replace_schema_metadata(
            {"notes": json.dumps([*newcomers.unknown, *newcomers.left_out])}
        )

    def carousels(self, users: Any, interactions: Any = None) -> dict[str, pa.Table]:
        """Ranked playlists for users, by country, by segment and by prediction (4.2.1).

        Parameters
        ----------
        users, interactions : frame
            As for :meth:`recommend`.

        Returns
        -------
        dict of arm to pyarrow.Table
            See :mod:`gpu_coldstart.strategies.carousels`; empty for a model without playlists.
        """
        fitted, engine = self.fitted, self._engine
        newcomers, batch = self._users(users, interactions)
        shown = playlists.carousels(fitted.context, fitted.model.offer, batch)
        explained = playlists.explanations(fitted.described)
        entities = fitted.model.entities
        return {
            arm: pa.table(
                playlists.columns(
                    engine,
                    engine.asarray(newcomers.ids),
                    entities.playlist_ids,
                    carousel,
                    explained,
                    ids=newcomers.names,
                    titles=entities.titles,
                )
            )
            for arm, carousel in shown.items()
        }

    @property
    def segments(self) -> pa.Table:
        """Each segment: its size, what is known about its members, and its popular tracks.

        Columns ``segment``, ``size``, ``country``, ``age_class``, ``genres``, ``description``, and
        the lists ``track_id``, ``title`` and ``artist_name`` where the model has them, and
        ``probability``, most popular first, at most 50.
        """
        return segments_of(self.fitted)

    def _users(self, users: Any, interactions: Any) -> tuple[Newcomers, Users]:
        fitted, engine = self.fitted, self._engine
        events = None if interactions is None else to_arrow("interactions", interactions)
        newcomers = read_newcomers(engine, fitted.model.entities, to_arrow("users", users), events)
        for note in newcomers.unknown:
            _log.warning("%s", note)
        inputs = InputVectors(engine, fitted.model.builder, newcomers.registrations)
        numbers = engine.xp.arange(len(newcomers.registrations))
        predicted = predict(engine, inputs, fitted.network, numbers)
        return newcomers, Users(newcomers.registrations, inputs, numbers, predicted)

    def _strategy(self, name: str | None) -> Strategy:
        there = self.fitted.strategies
        if name is None:
            name = strategies.default_of(there)
        if name not in there:
            raise UserError(
                f"strategy '{name}' is none of this model's, which are {', '.join(there)}"
            )
        return there[name]

    def _length(self, k: Any) -> int:
        """The length of lists that was asked for."""
        n_tracks = self.fitted.context.n_tracks
        try:
            length = operator.index(k)
        except TypeError as error:
            raise UserError(f"k is {k!r}: give a whole number") from error
        if not 1 <= length <= n_tracks:
            raise UserError(
                f"k is {k}: the catalogue has {n_tracks} tracks, so ask for 1 to as many"
            )
        return length

    def _columns(
        self, newcomers: Newcomers, ranking: Ranking, segment: HostArray
    ) -> dict[str, Any]:
        """The answer as columns, a row for each user and rank."""
        host, entities = self._engine.to_host, self.fitted.model.entities
        n, k = ranking.tracks.shape
        tracks = host(entities.track_ids[ranking.tracks])
        return {
            "user_id": newcomers.names.names("user", newcomers.ids.repeat(k)),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n),
            "track_id": entities.names.names("track", tracks),
            **entities.titles.of_tracks(tracks),
            "score": host(ranking.scores).ravel(),
            "segment": segment.repeat(k),
        }

    # -- on disk -------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> None:
        """Write a bundle: what :meth:`recommend` needs, with hashes, never pickled.

        Raises
        ------
        UserError
            When the directory holds something else, or cannot be written.
        """
        from gpu_coldstart.serving.card import CARD, card  # recommending needs none of it

        fitted = self.fitted
        files = encoded(self._engine, fitted, self.config)
        files[CARD] = card(fitted, self.config).encode()
        bundle.write(Path(directory), files, fitted.about)

    @classmethod
    def load(cls, directory: str | Path, *, engine: str | Engine = "auto") -> ColdStart:
        """Read a bundle.

        Raises
        ------
        UserError
            When there is none, or it is damaged or of another version.
        """
        place = Path(directory)
        made = cls.__new__(cls)
        made._engine = _chosen(engine)
        with bundle.opened(place) as (about, files):
            made.config, made._fitted = loaded(made._engine, place, about, files)
            made.recommend({"user_id": [0]}, k=1, explain=True)
        return made


def _chosen(engine: str | Engine) -> Engine:
    """The engine of that name; why it is that one is logged."""
    if isinstance(engine, Engine):
        return engine
    chosen, reason = choose(engine)
    _log.info("%s", reason)
    return chosen
