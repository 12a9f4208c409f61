"""The bundle in service and the one before it: exchanged while questions are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.serving.recommender import Answer, Question, Recommender

__all__ = ["Answered", "Bundles", "answer_each"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answered:
    """An answer, and the version of the bundle that gave it."""

    answer: Answer
    bundle: str


class Bundles:
    """Who answers now, and who did before.

    A reader takes :attr:`current` once and keeps to it; an exchange concerns only who comes later.

    Parameters
    ----------
    directory : Path
    load : callable
        Reads a bundle.

    Attributes
    ----------
    current : Recommender
    previous : Recommender or None
        What :meth:`rollback` goes back to.
    problem : str or None
        Why the last reload was refused; None if it was not.

    Raises
    ------
    UserError
        When the bundle cannot be read, or does not answer.
    """

    def __init__(self, directory: Path, load: Callable[[Path], Recommender] = Recommender.load):
        self._directory, self._load = directory, load
        self._lock = threading.Lock()
        self.current = self._read()
        self.previous: Recommender | None = None
        self.problem: str | None = None

    def reload(self) -> bool:
        """Read the directory again, and let the new bundle answer from now on.

        Takes as long as loading does, so call it in a thread; a second call waits for the first.

        Returns
        -------
        bool
            False where the directory still holds the bundle in service, which then stays.

        Raises
        ------
        UserError
            When the bundle cannot be read, or does not answer; the one in service stays.
        """
        with self._lock:
            try:
                found = self._read()
            except UserError as error:
                self.problem = str(error)
                raise
            self.problem = None
            if found.version == self.current.version:
                return False
            self.previous, self.current = self.current, found
            return True

    def rollback(self) -> None:
        """Let the bundle before the one in service answer again; a second call undoes the first.

        Raises
        ------
        UserError
            When there was none before.
        """
        with self._lock:
            if self.previous is None:
                raise UserError("no bundle was in service before this one")
            self.previous, self.current = self.current, self.previous

    def _read(self) -> Recommender:
        """A bundle that has shown that it answers, by every strategy."""
        try:
            found = self._load(self._directory)
            for strategy in found.strategies:
                found.answer([Question(k=1, strategy=strategy)])
        except (UserError, OSError) as error:
            raise UserError(first_line(error)) from error
        except Exception as error:
            _log.exception("bundle %s", self._directory)
            raise UserError(f"{self._directory} does not answer: {first_line(error)}") from error
        return found


def answer_each(
    recommender: Recommender, questions: Sequence[Question]
) -> list[Answered | Exception]:
    """Answers to all questions that can be answered, and the reasons why the others cannot.

    All are asked together. Where that fails, halves are asked, and halves of these, so that one
    bad question among many costs little.
    """
    try:
        answers = recommender.answer(questions)
    except Exception as error:
        if len(questions) == 1:
            return [error]
        half = len(questions) // 2
        return [
            *answer_each(recommender, questions[:half]),
            *answer_each(recommender, questions[half:]),
        ]
    return [Answered(answer, recommender.version) for answer in answers]
