"""The protocol by which relations are compared: who is hidden from whom, and what is measured."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from bench.relations import Task, interval, measured, task_of


def test_a_fifth_is_hidden_and_users_are_dealt_out() -> None:
    streamed = sp.csr_array(np.random.default_rng(0).random((60, 30)) < 0.2)
    task = task_of(streamed, seed=1)
    assert_array_equal((task.known + task.hidden).toarray(), streamed.toarray())
    assert task.hidden.nnz == np.ceil(0.2 * streamed.nnz)
    dealt = np.concatenate(task.cohorts)
    assert sorted(dealt) == np.flatnonzero(task.hidden.sum(axis=1)).tolist()
    assert {len(cohort) for cohort in task.cohorts} <= {len(dealt) // 5, len(dealt) // 5 + 1}


def test_measures_of_two_users_by_hand() -> None:
    """Fifteen tracks, scored downwards; the first user knows 0, and 2, 4 and 13 are hidden."""
    known, hidden = np.zeros((2, 15)), np.zeros((2, 15))
    known[0, 0] = known[1, 14] = 1
    hidden[0, [2, 4, 13]] = hidden[1, 12] = 1
    task = Task(sp.csr_array(known), sp.csr_array(hidden), [])
    scores = np.tile(-np.arange(15.0), (2, 1))
    found = measured(task, scores, np.arange(2))
    assert_allclose(found["mrr"], [1 / 2, 0])
    assert_allclose(found["map"], [(1 / 2 + 2 / 4) / 3, 0])
    assert_allclose(found["recall"], [2 / 3, 0])
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert_allclose(found["ndcg"], [(1 / np.log2(3) + 1 / np.log2(5)) / ideal, 0])
    # By popularity: tracks 0 and 14, then the others as they come.
    assert_allclose(found["mmr"], [7.5, np.median([1, *range(3, 12)])])


def test_the_interval_is_students() -> None:
    assert_allclose(interval(np.arange(5.0)), (2, 2.776445 * np.sqrt(2.5 / 5)), rtol=1e-6)
