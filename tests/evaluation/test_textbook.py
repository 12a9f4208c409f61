"""Every measure against trec_eval's, by way of ir-measures, user by user."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG
from scipy import sparse

from gpu_coldstart.evaluation.measures import MEASURES, TEXTBOOK, hits_of, user_measures

USERS, TRACKS, LONGEST = 200, 60, 20


@pytest.mark.parametrize("k", [1, 7, LONGEST])
def test_measures_are_those_of_trec_eval(k: int) -> None:
    """Two divide by another number there: precision by K, average precision by all of the truth."""
    random = np.random.default_rng(k)
    lists = np.array([random.permutation(TRACKS)[:LONGEST] for _ in range(USERS)])
    truth = [random.permutation(TRACKS)[: random.integers(1, 40)] for _ in range(USERS)]
    sizes = np.array([len(wanted) for wanted in truth])
    indptr, indices = np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(truth)
    matrix = sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(USERS, TRACKS))
    ours = user_measures(hits_of(lists, matrix), sizes, k)

    judged = {str(u): {str(t): 1 for t in wanted} for u, wanted in enumerate(truth)}
    ranked = {
        str(u): {str(t): float(-place) for place, t in enumerate(tracks)}
        for u, tracks in enumerate(lists)
    }
    theirs = {
        "recall": R @ k,
        "ndcg": nDCG @ k,
        "textbook_precision": P @ k,
        "map": AP @ k,
        "mrr": RR @ k,
        "hit_rate": Success @ k,
    }
    found = {name: np.full(USERS, np.nan) for name in theirs}
    names = {measure: name for name, measure in theirs.items()}
    for one in ir_measures.iter_calc([*names], judged, ranked):
        found[names[one.measure]][int(one.query_id)] = one.value
    most = np.minimum(k, sizes)
    found["precision"] = found["textbook_precision"] * k / most
    found["map"] *= sizes / most
    assert set(ours) == set(found) == {*MEASURES, *TEXTBOOK}
    for name, values in ours.items():
        np.testing.assert_allclose(values, found[name], rtol=1e-9, err_msg=name)
