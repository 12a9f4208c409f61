"""A shop of thirty songs, its page in a browser, and what one does there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gpu_coldstart.errors import UserError
from gpu_coldstart.serving.recommender import Answer, Found, Question, Track
from tests.service.browser import Browser
from tests.service.helpers import Echo, echoing
from tests.service.serving import served

LARGE = 2**60 + 1
"""An id that a double cannot hold."""


@dataclass
class Shop(Echo):
    """Thirty songs, in an order that turns with all that is known; it remembers the questions."""

    n_tracks: int = 30
    strategies: tuple[str, ...] = ("best", "semi")
    about: dict[str, Any] = field(default_factory=lambda: {"countries": ["FR", "DE", "Elsewhere"]})
    asked: list[Question] = field(default_factory=list)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += questions
        return [self._list(question) for question in questions]

    def _list(self, question: Question) -> Answer:
        if question.age == 130:
            raise UserError("nothing is left to recommend to this user")
        events, names = question.events, self.names()
        # Text stands for an integer, as in the model.
        seen = {str(event.id) for event in events if event.action == "stream"}
        seen = seen if question.exclude_seen else set()
        turn = (int(question.age or 0) + len(question.country or "") + 3 * len(events)) % 30
        order = [n for n in (*range(turn, 30), *range(turn)) if str(self.id(n)) not in seen]
        signals = [{"signal": "streamed_songs", "share": 0.75}] if events else []
        parts = [
            {"kind": "expert", "name": "Ridge", "share": 0.9},
            {"kind": "signal", "name": "onboarding_like_artists", "share": 0.104},
            {"kind": "popularity", "name": "popularity", "share": -0.004},
        ]
        return Answer(
            tuple(
                Track(self.id(n), names[n], names[n] and f"Band {n % 5}", 1.0)
                for n in order[: question.k]
            ),
            len(events),
            f"like listeners from {question.country or 'anywhere'}, aged {question.age}",
            question.strategy or "best",
            {"segments": [], "signals": signals, "parts": parts},
            ("one thing is not known",) if question.strategy == "semi" else (),
        )

    def id(self, n: int) -> int | str:
        odd: dict[int, int | str] = {0: LARGE, 1: "one"}
        return odd.get(n, n)

    def names(self) -> list[str | None]:
        return [{3: None, 4: '<b id="evil">Bold</b>'}.get(n, f"Song {n}") for n in range(30)]

    def search(self, kind: str, text: str, limit: int = 20) -> list[Found]:
        names = self.names() if kind == "track" else [f"Band {n}" for n in range(5)]
        return [
            Found(self.id(n) if kind == "track" else n, name or str(self.id(n)))
            for n, name in enumerate(names)
            if text.lower() in (name or "").lower()
        ][:limit]


@contextmanager
def visiting(chromium: Browser, model: Echo, *, size: int = 1200, **options: Any) -> Iterator[str]:
    """The page of a service with a model, open in a browser that has nothing to complain of."""
    chromium.dress(width=size)
    with served(echoing(model, **options)) as url:
        chromium.complaints()
        chromium.open(url)
        yield url
        refused = re.compile(r"Failed to load resource: .* status of 4\d\d")
        assert [line for line in chromium.complaints() if not refused.search(line)] == []


def songs(page: Browser) -> list[str]:
    return page.texts("#tracks strong")


def choose(page: Browser, css: str, value: str) -> None:
    """Fill a field in, as a user who leaves it afterwards."""
    page.run(
        "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))",
        css,
        value,
    )


def wait_for_song(page: Browser, name: str) -> None:
    page.wait(f"document.querySelector('#tracks strong').innerText === {name!r}")
