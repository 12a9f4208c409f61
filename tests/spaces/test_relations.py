"""Relations, their loss and scores by them, each against its formula, one pair at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.models.relations import relation_loss
from gpu_coldstart.spaces.relations import RELATIONS, Pairs
from gpu_coldstart.spaces.relations.scoring import Relations
from tests.worlds import sparse, types

D, SLOTS = 5, 3
Places: TypeAlias = list[HostArray]


def softmax(logits: Any) -> HostArray:
    powers = np.exp(np.asarray(logits, dtype=float))
    return np.asarray(powers / powers.sum())


class Naive:
    """Relations of one user and one track, by their formulas."""

    def __init__(self, keys: HostArray, memory: HostArray):
        self.keys, self.memory = keys, memory

    def recall(self, one: HostArray, other: HostArray) -> HostArray:
        return np.asarray(softmax((one * other) @ self.keys) @ self.memory)

    def over(self, places: Places, one: HostArray, by: HostArray) -> HostArray:
        """Recalled for one place and each of several others, weighted by what it is wanted by."""
        relations = [self.recall(one, x) for x in places]
        weights = softmax([by @ r for r in relations])
        return np.asarray(sum(w * r for w, r in zip(weights, relations, strict=True)))

    def none(self, u: HostArray, v: HostArray, history: Places, audience: HostArray) -> HostArray:
        return np.zeros(D)

    def lrml(self, u: HostArray, v: HostArray, history: Places, audience: HostArray) -> HostArray:
        return self.recall(u, v)

    def attcml(self, u: HostArray, v: HostArray, history: Places, audience: HostArray) -> HostArray:
        return np.asarray(softmax([v @ x for x in history]) @ history) if history else np.zeros(D)

    def transcf(
        self, u: HostArray, v: HostArray, history: Places, audience: HostArray
    ) -> HostArray:
        return np.asarray(np.mean(history, axis=0) * audience) if history else np.zeros(D)

    def hlr(self, u: HostArray, v: HostArray, history: Places, audience: HostArray) -> HostArray:
        return self.over([u, *history], v, u)

    def hlr_plus(
        self, u: HostArray, v: HostArray, history: Places, audience: HostArray
    ) -> HostArray:
        of_track = self.over(history, v, u) if history else np.zeros(D)
        return self.over([v, *history], u, v) + of_track

    def named(self, name: str) -> Callable[..., HostArray]:
        function: Callable[..., HostArray] = getattr(self, name.replace("++", "_plus"))
        return function


def drawn(*shape: int, seed: int = 0) -> HostArray:
    return np.random.default_rng((seed, *shape)).normal(size=shape)


def some_pairs(m: int, *, shared: bool) -> dict[str, HostArray]:
    """Four users, of whom one streamed nothing and one nothing but the track in question."""
    known = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], float)
    known = np.repeat(known[:, None], m, axis=1)
    known[3, 0] = known[1, 1, 2] = 0
    theirs = (1 if shared else 4, m, D)
    return {
        "users": drawn(4, 1, D),
        "tracks": drawn(*theirs),
        "history": drawn(4, 4, D),
        "known": known,
        "audience": drawn(*theirs, seed=1),
        "keys": 2 * drawn(D, SLOTS),
        "memory": drawn(SLOTS, D),
    }


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize(("m", "shared"), [(2, False), (7, True)])
def test_relations(name: str, m: int, shared: bool) -> None:
    """By the formula; by NumPy, as scores are made, and by PyTorch, as they are learned."""
    given = some_pairs(m, shared=shared)
    between = np.asarray(RELATIONS[name].between(np, Pairs(**given)))
    naive = Naive(given["keys"], given["memory"]).named(name)
    for user in range(4):
        for place in range(m):
            row = 0 if shared else user
            history = [
                x
                for x, k in zip(given["history"][user], given["known"][user, place], strict=True)
                if k
            ]
            v, audience = given["tracks"][row, place], given["audience"][row, place]
            wanted = naive(given["users"][user, 0], v, history, audience)
            got = np.broadcast_to(between, (4, m, D))[user, place]
            assert_allclose(got, wanted, atol=1e-12)
    tensors = {key: torch.from_numpy(value) for key, value in given.items()}
    assert_allclose(RELATIONS[name].between(torch, Pairs(**tensors)), between, atol=1e-12)


@pytest.mark.parametrize("name", ["hlr", "transcf"])
def test_loss(name: str) -> None:
    given = some_pairs(2, shared=False)
    given["known"] = given["known"][:, :1]
    naive, margin, weight = Naive(given["keys"], given["memory"]).named(name), 0.7, 0.3
    total, hinged = 0.0, []
    for user in range(4):
        u = given["users"][user, 0]
        known = given["known"][user, 0] > 0
        history, away = list(given["history"][user][known]), []
        for place in range(2):
            v, audience = given["tracks"][user, place], given["audience"][user, place]
            away.append(((u + naive(u, v, history, audience) - v) ** 2).sum())
        hinged.append(max(away[0] - away[1] + margin, 0))
        total += hinged[-1] / 4
        if name == "transcf":
            mean = np.mean(history, axis=0) if history else np.zeros(D)
            v, audience = given["tracks"][user, 0], given["audience"][user, 0]
            near = ((u - mean) ** 2).sum() + ((v - audience) ** 2).sum() + away[0]
            total += weight * near / 4
    assert 0 in hinged
    assert max(hinged) > 0
    pairs = Pairs(**{key: torch.from_numpy(value) for key, value in given.items()})
    loss = relation_loss(RELATIONS[name], pairs, margin=margin, regularization=weight)
    assert_allclose(float(loss), total, rtol=1e-12)


# -- scores ----------------------------------------------------------------------------------------

N_USERS, N_TRACKS, MOST = 6, 1100, 3


def scored(engine: Engine, name: str, users: slice = slice(None)) -> tuple[HostArray, Any]:
    """Scores of a world of a few users, and what they are made of, on the host."""
    random = np.random.default_rng(5)
    host = {
        "tracks": random.normal(size=(N_TRACKS, D)).astype(np.float32),
        "users": random.normal(size=(N_USERS, D)).astype(np.float32),
        "keys": random.normal(size=(D, SLOTS)).astype(np.float32),
        "memory": random.normal(size=(SLOTS, D)).astype(np.float32),
        "audience": random.normal(size=(N_TRACKS, D)).astype(np.float32),
        "streams": np.zeros((N_USERS, N_TRACKS), np.float32),
    }
    host["tracks"][[9, 1050]] = 0  # nobody streamed them
    for user, tracks in enumerate([[], [4], [9], [1, 7, 1030], range(20, 25), [9, 3, 2, 8]]):
        host["streams"][user, list(tracks)] = random.permutation(len(tracks)) + 1
    there = {key: engine.asarray(value) for key, value in host.items()}
    relations = Relations(name, MOST, there["keys"], there["memory"], there["audience"])
    streamed = sparse(engine, host["streams"][users])
    scores = relations.scores(engine, there["tracks"], there["users"][users], streamed)
    return engine.to_host(scores), host


@pytest.mark.parametrize("name", RELATIONS)
def test_scores(engine: Engine, name: str) -> None:
    scores, host = scored(engine, name)
    assert types(scores) == ["float32"]
    naive = Naive(host["keys"], host["memory"]).named(name)
    tracks, streams = host["tracks"].astype(float), host["streams"]
    nowhere = ~tracks.any(axis=1)
    for user, u in enumerate(host["users"].astype(float)):
        theirs = sorted(np.flatnonzero(streams[user]), key=lambda t: -streams[user, t])[:MOST]
        theirs = [t for t in theirs if not nowhere[t]]
        for track in {*range(0, N_TRACKS, 97), *theirs} - {*np.flatnonzero(nowhere)}:
            v = tracks[track]
            history = [tracks[t] for t in theirs if t != track]
            r = naive(u, v, history, host["audience"][track])
            assert_allclose(scores[user, track], -((u + r - v) ** 2).sum(), rtol=2e-4, atol=1e-5)
        assert (scores[user, nowhere] < scores[user, ~nowhere].min()).all()


@pytest.mark.parametrize("name", ["attcml", "transcf", "hlr++"])
def test_scores_of_a_user_do_not_depend_on_others(engine: Engine, name: str) -> None:
    together, _ = scored(engine, name)
    alone = [scored(engine, name, slice(user, user + 1))[0][0] for user in range(N_USERS)]
    if engine.name == "cpu":
        assert_array_equal(together, alone)
    else:
        assert_allclose(together, alone, rtol=1e-5)
