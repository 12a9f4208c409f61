"""A model in service: answers questions about users who have just signed up, many at a time.

It is a bundle on :class:`~gpu_coldstart.engine.serving.ServingEngine`, and goes from a question to
:class:`~gpu_coldstart.data.registrations.Registrations` without a table. From there on the code is
that of :meth:`gpu_coldstart.ColdStart.recommend`, and so are the answers.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart import strategies
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.contract import ACTIONS, ENTITIES
from gpu_coldstart.data.events import Events, event_code
from gpu_coldstart.data.registrations import Registrations, registration_matrix, signal_counts
from gpu_coldstart.engine.serving import ServingEngine
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import InputVectors
from gpu_coldstart.predicting import predict
from gpu_coldstart.serving import bundle
from gpu_coldstart.serving.catalogue import Catalogue, Found, Id, Track
from gpu_coldstart.serving.model import Fitted, loaded, networks_of
from gpu_coldstart.serving.reasons import reasons_of, segments_of
from gpu_coldstart.strategies import Strategy, Users
from gpu_coldstart.strategies import carousels as playlists

__all__ = ["Answer", "Event", "Found", "Question", "Recommender", "Track"]

_MANY = 64


@dataclass(frozen=True)
class Event:
    """Something that a user did on the day of registration, by the data contract.

    Attributes
    ----------
    action, entity : str
        As in the interactions table: ``"stream"``, ``"track"``.
    id : int or str
        Of the entity.
    count : float
        How often; positive.
    """

    action: str
    entity: str
    id: Id
    count: float = 1.0


@dataclass(frozen=True)
class Question:
    """Which tracks to recommend to a user of whom so much is known.

    Attributes
    ----------
    country : str or None
    age : float or None
        In years.
    events : tuple of Event
    k : int
        Length of the list.
    strategy : str or None
        None for the model's default.
    exclude_seen : bool or None
        Leave out what the user streamed; None for the model's own setting.
    explain : bool
        Whether reasons are wanted.
    """

    country: str | None = None
    age: float | None = None
    events: tuple[Event, ...] = ()
    k: int = 50
    strategy: str | None = None
    exclude_seen: bool | None = None
    explain: bool = False


@dataclass(frozen=True)
class Answer:
    """A list for a user.

    Attributes
    ----------
    tracks : tuple of Track
        Best first.
    segment : int
        Nearest to where the network puts the user.
    description : str
        Of that segment.
    strategy : str
    reasons : dict or None
        As :data:`gpu_coldstart.serving.reasons.REASONS`; None unless asked for.
    notes : tuple of str
        What was not understood, such as unknown tracks.
    """

    tracks: tuple[Track, ...]
    segment: int
    description: str
    strategy: str
    reasons: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recommender:
    """A loaded bundle. Safe to be asked by several threads at once.

    Attributes
    ----------
    version : str
        Names the bundle: the first 12 hexadecimal digits of its index's SHA-256.
    about : dict
        What ``bundle.json`` says, without the hashes of files, and ``countries``, those known.
    """

    version: str
    about: dict[str, Any]
    _engine: ServingEngine = field(repr=False)
    _config: Config = field(repr=False)
    _fitted: Fitted = field(repr=False)
    _catalogue: Catalogue = field(repr=False)
    _descriptions: list[str] = field(repr=False)
    _countries: dict[str, int] = field(repr=False)
    _segments: pa.Table = field(repr=False)

    @classmethod
    def load(cls, directory: Path, *, threads: int = 1) -> Recommender:
        """Read a bundle.

        Parameters
        ----------
        threads : int
            That a network may take for a batch.

        Raises
        ------
        UserError
            When there is none, or it is damaged or of another version.
        """
        engine = ServingEngine(threads)
        with bundle.opened(directory) as (about, files):
            config, fitted = loaded(engine, directory, about, files)
            for name, network in networks_of(fitted).items():
                engine.adopt(network, files[name])
            entities = fitted.model.entities
            known = {name: value for name, value in about.items() if name != "files"}
            digest = hashlib.sha256((directory / bundle.INDEX).read_bytes()).hexdigest()
            made = cls(
                digest[:12],
                known | {"countries": list(entities.countries)},
                engine,
                config,
                fitted,
                Catalogue.of(engine, entities),
                playlists.explanations(fitted.described),
                {name: code for code, name in enumerate(entities.countries)},
                segments_of(fitted),
            )
            # What only a large batch takes is loaded now, and no user has to wait for it.
            for name in made.strategies:
                question = Question(k=1, strategy=name)
                made.answer([replace(question, explain=True), *[question] * _MANY])
        return made

    # -- what there is -------------------------------------------------------------------------

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that may be asked for, the default first."""
        there = self._fitted.strategies
        default = strategies.default_of(there)
        return (default, *(name for name in there if name != default))

    @property
    def n_tracks(self) -> int:
        """Number of tracks in the catalogue: the longest list."""
        return self._fitted.context.n_tracks

    def segment(self, number: int) -> dict[str, Any]:
        """What is known of a segment, as a row of :attr:`gpu_coldstart.ColdStart.segments`.

        Raises
        ------
        LookupError
            When there is none of that number.
        """
        if not 0 <= number < self._segments.num_rows:
            raise LookupError(f"segment {number}: there are {self._segments.num_rows}, from 0")
        row: dict[str, Any] = self._segments.slice(number, 1).to_pylist()[0]
        return row

    def search(self, kind: str, text: str, limit: int = 20) -> list[Found]:
        """Tracks or artists whose name holds some text, the most popular first.

        Parameters
        ----------
        kind : {"track", "artist"}
        text : str
            Upper and lower case are the same; empty for the most popular.
        """
        return self._catalogue.search(kind, text, limit)

    # -- answers -------------------------------------------------------------------------------

    def check(self, question: Question) -> None:
        """Refuse a question that cannot be answered.

        Raises
        ------
        UserError
            For a strategy that the model does not have, or a list that the catalogue is too small
            for.
        """
        if question.strategy is not None and question.strategy not in self.strategies:
            there = ", ".join(self.strategies)
            raise UserError(f"strategy '{question.strategy}' is none of this model's: {there}")
        n = self.n_tracks
        if not 1 <= question.k <= n:
            raise UserError(f"k is {question.k}: the catalogue has {n} tracks, so ask for 1 to {n}")
        if self._excludes(question):
            seen = {
                str(event.id)
                for event in question.events
                if (event.action, event.entity) == ("stream", "track")
            }
            known = sum(each in self._catalogue.numbers["track"] for each in seen)
            if question.k + known > n:
                raise UserError(
                    f"k is {question.k}, and {known} of the {n} tracks were streamed: ask for "
                    f"{n - known} at most, or do not exclude them"
                )

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Lists for some users, in the order of the questions; each as if asked alone.

        Raises
        ------
        UserError
            As :meth:`check`.
        """
        alike = defaultdict[tuple[str, int, bool, bool], list[int]](list)
        for place, question in enumerate(questions):
            self.check(question)
            name = question.strategy or self.strategies[0]
            key = (name, question.k, self._excludes(question), question.explain)
            alike[key].append(place)
        users, notes = self._users(questions)
        nearest, _ = self._engine.nearest(users.predicted, self._fitted.context.centroids, 1)
        answers: list[Answer | None] = [None] * len(questions)
        for (name, k, excluding, explained), places in alike.items():
            some, strategy = users.take(np.array(places)), self._fitted.strategies[name]
            ranking = strategies.recommend(strategy, some, k, exclude_seen=excluding)
            reasons = self._reasons(strategy, some, ranking.tracks) if explained else ()
            for row, place in enumerate(places):
                segment = int(nearest[place, 0])
                answers[place] = Answer(
                    self._catalogue.listed(ranking.tracks[row], ranking.scores[row]),
                    segment,
                    self._descriptions[segment],
                    name,
                    reasons[row] if explained else None,
                    notes[place],
                )
        return [answer for answer in answers if answer is not None]

    def carousels(self, question: Question) -> dict[str, list[dict[str, Any]]]:
        """Playlists for a user by arm (4.2.1), best first: ``id``, ``title`` and ``score``."""
        fitted, entities = self._fitted, self._fitted.model.entities
        users, _ = self._users([question])
        made = {}
        for arm, shown in playlists.carousels(fitted.context, fitted.model.offer, users).items():
            ids = entities.playlist_ids[shown.playlists[0]]
            columns = (
                entities.names.names("playlist", ids).to_pylist(),
                entities.titles.playlist.take(ids).to_pylist(),
                shown.scores[0].tolist(),
            )
            names = ("id", "title", "score")
            made[arm] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return made

    def _excludes(self, question: Question) -> bool:
        asked = question.exclude_seen
        return self._config.strategies.exclude_seen if asked is None else asked

    def _reasons(self, strategy: Strategy, users: Users, tracks: Any) -> list[dict[str, Any]]:
        network, described = self._fitted.network, self._fitted.described
        reasons: list[dict[str, Any]] = reasons_of(
            strategy, users, tracks, network=network, described=described
        ).to_pylist()
        return reasons

    def _users(self, questions: Sequence[Question]) -> tuple[Users, list[tuple[str, ...]]]:
        """Who asks, in the model's terms, and what of each it does not know."""
        engine, fitted = self._engine, self._fitted
        entities = fitted.model.entities
        events, notes = self._events(questions)
        ages = [math.nan if each.age is None else each.age for each in questions]
        owners = {"artist": entities.artist, "album": entities.album}
        matrix = registration_matrix(engine, events, owners, (len(ages), entities.n_entities))
        registrations = Registrations(
            np.array(ages, np.float32),
            np.array([self._countries.get(each.country or "", -1) for each in questions], np.int32),
            matrix,
            signal_counts(engine, matrix),
        )
        inputs = InputVectors(engine, fitted.model.builder, registrations)
        numbers = np.arange(len(ages))
        predicted = predict(engine, inputs, fitted.network, numbers)
        return Users(registrations, inputs, numbers, predicted), notes

    def _events(self, questions: Sequence[Question]) -> tuple[Events, list[tuple[str, ...]]]:
        """What everybody did, and notes for each."""
        rows: list[tuple[int, int, int, float]] = []
        notes = []
        for user, question in enumerate(questions):
            before = len(rows)
            for event in question.events:
                number = self._catalogue.number(event.entity, event.id)
                if number >= 0:
                    rows.append((user, _CODES[event.action, event.entity], number, event.count))
            unknown, mine = len(question.events) - len(rows) + before, list[str]()
            if question.country is not None and question.country not in self._countries:
                mine.append("the country is none that the model knows")
            if unknown:
                mine.append(
                    f"{unknown} of {len(question.events)} events name unknown tracks, artists, "
                    "albums or playlists; left out"
                )
            notes.append(tuple(mine))
        who, what, entity, count = np.array(rows, np.float64).reshape(-1, 4).T
        today = np.zeros(len(rows), np.int32)
        numbers = entity.astype(np.int32)
        made = Events(
            who.astype(np.int32), today, today, what.astype(np.int16), numbers, count.astype("f4")
        )
        return made, notes


_CODES = {
    (action, kind): event_code(ACTIONS.index(action), ENTITIES.index(kind))
    for action in ACTIONS
    for kind in ENTITIES
}
