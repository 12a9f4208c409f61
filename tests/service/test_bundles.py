"""A bundle is exchanged for one that answers, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import pytest

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.bundles import Answered, Bundles, answer_each
from gpu_coldstart.serving.recommender import Question, Recommender
from tests.service.helpers import Echo, bundles_of


def test_a_reload_exchanges_and_a_rollback_goes_back() -> None:
    bundles = bundles_of(Echo("one"), Echo("two"))
    assert bundles.reload()
    assert bundles.previous is not None
    assert (bundles.current.version, bundles.previous.version) == ("two", "one")
    bundles.rollback()
    assert (bundles.current.version, bundles.previous.version) == ("one", "two")


def test_the_same_bundle_again_changes_nothing() -> None:
    bundles = bundles_of(Echo("one"), Echo("two"), Echo("two"))
    assert bundles.reload()
    kept = bundles.current
    assert not bundles.reload()
    assert bundles.current is kept
    assert bundles.previous is not None
    assert bundles.previous.version == "one"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (UserError("the bundle is damaged"), "the bundle is damaged"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (RuntimeError("inner"), "does not answer: inner"),
    ],
)
def test_a_bad_bundle_is_refused_and_the_old_one_stays(bad: Exception, words: str) -> None:
    bundles = bundles_of(Echo("one"), bad, Echo("two"))
    with pytest.raises(UserError, match=words):
        bundles.reload()
    assert bundles.current.version == "one"
    assert bundles.previous is None
    assert words in (bundles.problem or "")
    assert bundles.reload()
    assert bundles.problem is None


def test_a_bundle_that_loads_and_does_not_answer_is_refused() -> None:
    class Mute(Echo):
        def answer(self, questions: object) -> list[object]:  # type: ignore[override]
            raise ValueError("no such file in the session")

    with pytest.raises(UserError, match="does not answer: no such file"):
        bundles_of(Mute())


def test_there_must_be_one_to_go_back_to() -> None:
    with pytest.raises(UserError, match="no bundle was in service before"):
        bundles_of(Echo()).rollback()


def test_one_bad_question_among_many_costs_it_alone_and_little() -> None:
    model = Echo()
    questions = [Question(country=f"{number}") for number in range(64)]
    questions[37] = Question(country="mistaken")
    questions[5] = Question(country="broken")
    answers = answer_each(cast(Recommender, model), questions)
    assert isinstance(answers.pop(37), UserError)
    assert isinstance(answers.pop(5), RuntimeError)
    told = [each.answer.description for each in answers if isinstance(each, Answered)]
    assert told == [f"{number}" for number in range(64) if number not in (5, 37)]
    assert len(model.batches) < 2 * 2 * 6 + 2


def test_a_bundle_on_disk(bundle: Path, other: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    bundles = Bundles(place)
    first = bundles.current.version
    assert not bundles.reload()
    shutil.rmtree(place)
    shutil.copytree(other, place)
    assert bundles.reload()
    assert bundles.current.version != first
    (place / "network.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"network\.safetensors"):
        bundles.reload()
    assert bundles.previous is not None
    assert bundles.previous.version == first
