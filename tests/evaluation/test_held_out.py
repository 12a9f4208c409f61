"""The protocol by which relations are compared: who is hidden from whom, and what is measured."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.evaluation.held_out import Task, interval, measured, task
from tests.runs.helpers import synthetic
from tests.test_cli import calling


def test_a_fifth_is_hidden_and_users_are_dealt_out() -> None:
    streamed = sp.csr_array(np.random.default_rng(0).random((60, 30)) < 0.2)
    made = task(streamed, least=0, seed=1)
    assert_array_equal((made.known + made.hidden).toarray(), streamed.toarray())
    assert made.hidden.nnz == np.ceil(0.2 * streamed.nnz)
    dealt = np.concatenate(made.cohorts)
    assert sorted(dealt) == np.flatnonzero(made.hidden.sum(axis=1)).tolist()
    assert {len(cohort) for cohort in made.cohorts} <= {len(dealt) // 5, len(dealt) // 5 + 1}


def test_measures_of_two_users_by_hand() -> None:
    """Fifteen tracks, scored downwards; the first user knows 0, and 2, 4 and 13 are hidden."""
    known, hidden = np.zeros((2, 15)), np.zeros((2, 15))
    known[0, 0] = known[1, 14] = 1
    hidden[0, [2, 4, 13]] = hidden[1, 12] = 1
    made = Task(sp.csr_array(known), sp.csr_array(hidden), [])
    scores = np.tile(-np.arange(15.0), (2, 1))
    found = measured(made, scores, np.arange(2))
    assert_allclose(found["mrr"], [1 / 2, 0])
    assert_allclose(found["map"], [(1 / 2 + 2 / 4) / 3, 0])
    assert_allclose(found["recall"], [2 / 3, 0])
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert_allclose(found["ndcg"], [(1 / np.log2(3) + 1 / np.log2(5)) / ideal, 0])
    # By popularity: tracks 0 and 14, then the others as they come.
    assert_allclose(found["mmr"], [7.5, np.median([1, *range(3, 12)])])


def test_the_interval_is_students() -> None:
    assert_allclose(interval(np.arange(5.0)), (2, 2.776445 * np.sqrt(2.5 / 5)), rtol=1e-6)


def test_users_and_tracks_have_enough_of_each_other() -> None:
    streamed = np.zeros((16, 15))
    streamed[:14, :12] = streamed[14:, 12:] = 1
    made = task(sp.csr_array(streamed), least=3, seed=0)
    assert made.known.shape == (14, 12)


def test_the_command() -> None:
    world = synthetic(hlr__epochs=2, hlr__dimension=8)[2:]
    asked = ["relations", "synthetic:tiny", "--engine", "cpu", "--relations", "none,attcml", *world]
    result = calling(*asked)
    assert result.status == 0, result.err
    rows = [line.strip("| ").split(" | ") for line in result.out.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows] == ["relation", "---", "popularity", "none", "attcml"]
    values = {row[0]: [float(cell.split(" ± ")[0]) for cell in row[2:7]] for row in rows[2:]}
    assert all(0 < share < 100 for found in values.values() for share in found[:4])
    assert rows[4][7].startswith(f"{values['attcml'][0] - values['none'][0]:.1f}")
    assert calling(*asked, "--seed", "1").out != result.out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("synthtic", ["no data set 'synthtic'", "did you mean synthetic?"]),
        ("synthetic:tiny --relations hrl", ["no relation 'hrl'", "did you mean hlr?"]),
        ("synthetic:tiny --least 5000", ["have 5000 or more of each other", "--least"]),
        ("synthetic:tiny --set hlr.epochs=0", ["hlr.epochs"]),
    ],
)
def test_refused(line: str, words: list[str]) -> None:
    result = calling("relations", *line.split(), "--engine", "cpu")
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert all(word in result.err for word in words), result.err
