"""A model that says what it was asked, and clients of an application that is not on a network."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.app import create_app
from gpu_coldstart.service.bundles import Bundles
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.serving.recommender import Answer, Found, Question, Recommender, Track

NOWHERE = Path("/nonexistent")
KEY, ADMIN = "k" * 32, "a" * 32


@dataclass
class Echo:
    """Answers with the question: the country as the description, the ids of events as tracks.

    Attributes
    ----------
    version : str
    go_on : threading.Event
        Nothing is answered before it is set.
    batches : list of int
        The size of every batch.
    """

    version: str = "one"
    go_on: threading.Event = field(default_factory=threading.Event)
    batches: list[int] = field(default_factory=list)
    strategies: tuple[str, ...] = ("semi", "popularity")
    n_tracks: int = 100
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.go_on.set()

    def check(self, question: Question) -> None:
        if question.strategy not in (None, *self.strategies):
            raise UserError(f"strategy '{question.strategy}' is none of this model's")
        if question.k > self.n_tracks:
            raise UserError(f"k is {question.k}: the catalogue has {self.n_tracks} tracks")

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        assert self.go_on.wait(30)
        self.batches.append(len(questions))
        countries = {question.country for question in questions}
        if "mistaken" in countries:
            raise UserError("nothing is left to recommend to this user")
        if "broken" in countries:
            raise RuntimeError("secret of the inside")
        return [
            Answer(
                tuple(Track(event.id, None, None, event.count) for event in question.events),
                int(question.age or 0),
                question.country or "",
                question.strategy or self.strategies[0],
                {"segments": []} if question.explain else None,
                (f"k {question.k}, exclude_seen {question.exclude_seen}",),
            )
            for question in questions
        ]

    def segment(self, number: int) -> dict[str, Any]:
        raise LookupError(number)

    def carousels(self, question: Question) -> dict[str, list[dict[str, Any]]]:
        assert self.go_on.wait(30)
        return {
            "country": [{"id": n, "title": question.country, "score": 1.0} for n in range(40)],
        }

    def search(self, kind: str, text: str, limit: int = 20) -> list[Found]:
        return [Found(n, f"{kind} {text}") for n in range(limit)]


def bundles_of(*models: Echo | Exception) -> Bundles:
    """Bundles that read these one after another; after the last, the last again."""
    left = list(models)

    def load(directory: Path) -> Recommender:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return cast(Recommender, found)

    return Bundles(NOWHERE, load)


def echoing(*models: Echo | Exception, **options: Any) -> FastAPI:
    """An application with these models."""
    settings = Settings(NOWHERE, **{"deadline_s": 20.0, **options})
    return create_app(settings, bundles_of(*(models or (Echo(),))))


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has started, and ends afterwards."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as found,
    ):
        yield found


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
