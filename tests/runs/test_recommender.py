"""A model in service against :meth:`ColdStart.recommend`: the same answers, without tables."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gpu_coldstart import ColdStart
from gpu_coldstart.data.contract import ACTIONS, ENTITIES
from gpu_coldstart.errors import UserError
from gpu_coldstart.serving.recommender import Answer, Event, Question, Recommender
from tests.builtin import EVERY_STRATEGY
from tests.runs.helpers import Tables, one_thread

USERS = 2000


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> ColdStart:
    return ColdStart.load(bundle, engine="cpu")


@pytest.fixture(scope="module")
def recommender(bundle: Path) -> Recommender:
    return Recommender.load(bundle)


def questions(tables: Tables, n: int, seed: int = 0) -> list[Question]:
    """Users who did anything, of any country and age, some of it unknown."""
    random = np.random.default_rng(seed)
    ids = {
        "track": tables["tracks"]["track_id"].to_pylist(),
        "artist": tables["tracks"]["artist_id"].to_pylist(),
        "album": tables["tracks"]["album_id"].to_pylist(),
        "playlist": tables["playlists"]["playlist_id"].to_pylist(),
    }
    countries = [None, "nowhere", *sorted({*tables["users"]["country"].to_pylist()} - {None})]

    def event() -> Event:
        kind = str(random.choice(ENTITIES, p=[0.7, 0.1, 0.1, 0.1]))
        entity = -5 if random.random() < 0.05 else int(random.choice(ids[kind]))
        count = float(random.integers(1, 4))
        return Event(str(random.choice(ACTIONS)), kind, entity, count)

    return [
        Question(
            countries[random.integers(len(countries))],
            None if random.random() < 0.2 else int(random.integers(12, 90)),
            tuple(event() for _ in range(int(random.integers(0, 12)))),
            k=10,
        )
        for _ in range(n)
    ]


def by_tables(loaded: ColdStart, asked: list[Question], **options: Any) -> list[list[Any]]:
    """The rows of each user's list."""
    users = {
        "user_id": list(range(len(asked))),
        "country": [each.country for each in asked],
        "age": pa.array([each.age for each in asked], pa.int64()),
    }
    did = [(user, event) for user, each in enumerate(asked) for event in each.events]
    interactions = {
        "user_id": [user for user, _ in did],
        "action": [event.action for _, event in did],
        "entity": [event.entity for _, event in did],
        "entity_id": [event.id for _, event in did],
        "count": [int(event.count) for _, event in did],
    }
    k = asked[0].k
    rows = loaded.recommend(users, interactions, k=k, **options).to_pylist()
    return [rows[start : start + k] for start in range(0, len(rows), k)]


def same(answer: Answer, rows: list[Any]) -> None:
    assert [track.id for track in answer.tracks] == [row["track_id"] for row in rows]
    wanted = [row["score"] for row in rows]
    np.testing.assert_allclose([track.score for track in answer.tracks], wanted, atol=1e-5)
    assert {answer.segment} == {row["segment"] for row in rows}


@pytest.mark.parametrize("strategy", EVERY_STRATEGY)
def test_the_answers_are_those_of_the_library(
    strategy: str, loaded: ColdStart, recommender: Recommender, tables: Tables
) -> None:
    asked = [replace(each, strategy=strategy) for each in questions(tables, USERS)]
    answers = [
        answer
        for start in range(0, USERS, 37)
        for answer in recommender.answer(asked[start : start + 37])
    ]
    for answer, rows in zip(answers, by_tables(loaded, asked, strategy=strategy), strict=True):
        same(answer, rows)
        assert answer.strategy == strategy
    for place in (0, 700, 1999):
        assert recommender.answer([asked[place]])[0].tracks == answers[place].tracks


def test_each_question_of_a_batch_has_its_own_wishes(
    loaded: ColdStart, recommender: Recommender, tables: Tables
) -> None:
    plain = questions(tables, 12, seed=1)
    wishes: list[dict[str, Any]] = [
        {"k": 3},
        {"strategy": "semi"},
        {"exclude_seen": True},
        {"strategy": "best", "explain": True},
    ]
    asked = [replace(each, **wishes[place % len(wishes)]) for place, each in enumerate(plain)]
    answers = recommender.answer(asked)
    for question, answer in zip(asked, answers, strict=True):
        (rows,) = by_tables(
            loaded,
            [question],
            strategy=question.strategy,
            exclude_seen=question.exclude_seen,
            explain=question.explain,
        )
        same(answer, rows)
        assert answer.reasons == rows[0].get("reasons")
        assert answer.strategy == (question.strategy or "best")


def test_what_is_not_understood_is_noted(recommender: Recommender) -> None:
    events = (Event("stream", "track", -1), Event("skip", "artist", "nobody"))
    known = Event("stream", "track", recommender.search("track", "", 1)[0].id)
    (answer,) = recommender.answer([Question("Atlantis", None, (*events, known))])
    assert answer.notes == (
        "the country is none that the model knows",
        "2 of 3 events name unknown tracks, artists, albums or playlists; left out",
    )
    assert recommender.answer([Question(events=(known,))])[0].notes == ()
    text = replace(known, id=str(known.id))
    assert recommender.answer([Question(events=(text,))]) == recommender.answer(
        [Question(events=(known,))]
    )


def test_what_cannot_be_answered_is_one_sentence(recommender: Recommender) -> None:
    n = recommender.n_tracks
    seen = Event("stream", "track", recommender.search("track", "", 1)[0].id)
    for question, words in (
        (Question(strategy="semmi"), "strategy 'semmi' is none of this model's: best, "),
        (Question(k=0), f"k is 0: the catalogue has {n} tracks"),
        (Question(k=n + 1), f"ask for 1 to {n}"),
        (Question(k=n, events=(seen,), exclude_seen=True), f"ask for {n - 1} at most"),
    ):
        with pytest.raises(UserError, match=words):
            recommender.check(question)
        with pytest.raises(UserError, match=words):
            recommender.answer([Question(), question])
    assert len(recommender.answer([Question(k=n, events=(seen,))])[0].tracks) == n


def test_segments_carousels_and_search(
    loaded: ColdStart, recommender: Recommender, tables: Tables
) -> None:
    assert recommender.segment(2) == loaded.segments.slice(2, 1).to_pylist()[0]
    for number in (-1, loaded.segments.num_rows):
        with pytest.raises(LookupError, match=f"segment {number}: there are "):
            recommender.segment(number)
    (question,) = questions(tables, 1)
    shown = recommender.carousels(replace(question, events=()))
    user = {"user_id": [0], "country": [question.country], "age": [question.age]}
    wanted = loaded.carousels(user)
    assert shown.keys() == wanted.keys()
    for arm, table in wanted.items():
        assert [each["id"] for each in shown[arm]] == table["playlist_id"].to_pylist()
        np.testing.assert_allclose(
            [each["score"] for each in shown[arm]], table["score"], atol=1e-5
        )
    tracks = recommender.search("track", "", 10**6)
    assert len(tracks) == recommender.n_tracks
    found = recommender.search("track", tracks[3].name[1:].upper(), 2)
    assert found[0] in tracks
    assert len(recommender.search("artist", "", 3)) == 3
    assert recommender.search("artist", "no such thing") == []


def test_several_threads_may_ask_at_once(recommender: Recommender, tables: Tables) -> None:
    asked = questions(tables, 64, seed=2)
    wanted = recommender.answer(asked)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda place: recommender.answer([asked[place]])[0], range(64))
        assert list(found) == wanted


def test_it_needs_no_library_of_fitting(bundle: Path) -> None:
    script = f"""
import sys
ABSENT = ("torch", "numba", "faiss", "onnx", "matplotlib", "sklearn", "jinja2")
for name in ABSENT:
    sys.modules[name] = None
from pathlib import Path
from gpu_coldstart.serving.recommender import Question, Recommender
recommender = Recommender.load(Path({str(bundle)!r}))
for name in recommender.strategies:
    question = Question("FR", 30, strategy=name, explain=True)
    for n in (1, 300):
        assert len(recommender.answer([question] * n)[-1].tracks) == 50
"""
    subprocess.run([sys.executable, "-c", script], env=one_thread(), check=True)
