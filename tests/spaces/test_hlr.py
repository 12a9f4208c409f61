"""The space of HLR and its kin: what is drawn, learned and kept, and what scores promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.metric import HlrConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.models.relations import Neighbours, RelationTraining
from gpu_coldstart.spaces import silent
from gpu_coldstart.spaces.hlr import HlrSpace
from gpu_coldstart.spaces.relations import RELATIONS, Pairs
from tests.spaces.test_cml import generator, likely, some_positives, two_tastes
from tests.worlds import dense, hand_logs

OPTIONS = HlrConfig(
    dimension=6, memories=3, history=4, epochs=3, batch_size=32, learning_rate=0.02, patience=0
)


def test_neighbours_are_a_draw_of_the_rows_own() -> None:
    """Distinct ones; all there are, where they are few; each as often as any other."""
    own = [[3, 5, 8, 9, 11], [], [2, 6]]
    rows = torch.tensor([0, 2, 0, 0, 2, 0, 0])
    entries = torch.tensor([3, 2, 5, 8, 6, 9, 11])
    neighbours, random = Neighbours(rows, entries, 3, most=3), generator()
    met: list[int] = []
    for _ in range(300):
        neighbours.mix(random)
        drawn, there = neighbours.some(torch.tensor([[0, 1, 2]]), random)
        assert drawn.shape == there.shape == (1, 3, 3)
        for row, some, real in zip(own, drawn[0].tolist(), there[0].tolist(), strict=True):
            kept = [one for one, is_there in zip(some, real, strict=True) if is_there]
            assert len({*kept}) == len(kept) == min(3, len(row))
            assert {*kept} <= {*row}
        met += [sorted(own[0]).index(one) for one in drawn[0, 0].tolist()]
    assert likely(np.bincount(met, minlength=5), np.ones(5))


def spied(training: RelationTraining, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The users and tracks of each batch, and whether it is learned from."""
    met: list[Any] = []

    def noted(users: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
        met.append((users.numpy(), tracks.numpy(), torch.is_grad_enabled()))
        return RelationTraining._loss(training, users, tracks)

    monkeypatch.setattr(training, "_loss", noted)
    return met


def test_every_pair_is_learned_from_or_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed, positives = some_positives(30, 14, 0.4)
    streamed[4] = True  # and so has no other tracks
    training = RelationTraining(positives, OPTIONS.replace(held_out=0.25), seed=0)
    met = spied(training, monkeypatch)
    training.train(silent)
    users, tracks, learned = ([*each] for each in zip(*met, strict=True))
    learning = np.repeat(learned, [len(each) for each in users])
    who, (what, other) = np.concatenate(users), np.concatenate(tracks).T
    assert not streamed[who[who != 4], other[who != 4]].any()
    counts = np.zeros((2, *positives_shape(streamed)), int)
    np.add.at(counts, (learning.astype(int), who, what), 1)
    assert {*counts.ravel()} == {0, 3}  # once an epoch, always on the same side
    assert not (counts[0] & counts[1]).any()
    assert counts[0].sum() / counts.sum() == pytest.approx(0.25, abs=0.01)


def positives_shape(streamed: Any) -> tuple[int, int]:
    return (int(streamed.shape[0]), int(streamed.shape[1]))


@pytest.mark.parametrize("relation", ["hlr", "transcf"])
def test_what_a_pair_is_shown(relation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracks that the user streamed, never the one in question or one held out; likewise users."""
    streamed, positives = some_positives(12, 9, 0.5)
    training = RelationTraining(positives, OPTIONS.replace(relation=relation, history=12), seed=0)
    held = {*zip(*(each[training._held].tolist() for each in _pairs(positives)), strict=True)}
    kind, seen = RELATIONS[relation], list[Pairs]()
    met = spied(training, monkeypatch)
    original = kind.between

    def between(xp: Any, pairs: Pairs) -> Any:
        seen.append(pairs)
        return original(xp, pairs)

    monkeypatch.setattr(kind, "between", staticmethod(between))
    places = training.places.detach().clone()
    training._mean_loss(training._learned[:32], learning=False)
    (users, tracks, _), pairs = met[0], seen[0]
    known = streamed.copy()
    for pair in held:
        known[pair] = False
    for row, (user, (track, other)) in enumerate(zip(users, tracks, strict=True)):
        mine = {*np.flatnonzero(known[user])} - {track}
        shown = pairs.history[row][pairs.known[row, 0] > 0].detach()
        wanted = places[[12 + each for each in sorted(mine)]]
        assert sorted(shown.tolist()) == sorted(wanted.tolist())
        if relation == "transcf":
            for place, each in enumerate((track, other)):
                theirs = [int(who) for who in np.flatnonzero(known[:, each]) if who != user]
                mean = places[theirs].mean(dim=0) if theirs else torch.zeros(6)
                assert_allclose(pairs.audience[row, place].detach(), mean, atol=1e-6)


def _pairs(positives: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return positives.users, positives.tracks


def test_the_best_epoch_is_kept() -> None:
    _, positives = some_positives(30, 14, 0.4)
    options = OPTIONS.replace(epochs=60, patience=2, learning_rate=0.3)
    training = RelationTraining(positives, options, seed=0)
    losses = training.train(silent)
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 60
    assert training.held_out_loss() == losses[best]
    last = RelationTraining(positives, options.replace(patience=0, epochs=len(losses)), seed=0)
    assert last.train(silent) == losses
    assert last.held_out_loss() == losses[-1] > losses[best]


# -- the space -------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", RELATIONS)
def test_fit(engine: Engine, relation: Any) -> None:
    logs, first = two_tastes(engine)
    options = OPTIONS.replace(relation=relation, epochs=15, learning_rate=0.05)
    space = HlrSpace.fit(engine, logs, options, 0, silent)
    users, tracks = engine.to_host(space.users), engine.to_host(space.tracks)
    assert (space.name, users.shape, tracks.shape) == ("hlr", (40, 6), (13, 6))
    assert max(np.linalg.norm(users, axis=1).max(), np.linalg.norm(tracks, axis=1).max()) < 1 + 1e-6
    assert space.losses[-1] < space.losses[0]
    assert not tracks[12].any()
    relations = space.relations
    assert relations is not None
    assert (relations.relation, relations.history) == (relation, 4)
    kind = RELATIONS[relation]
    assert (relations.memory is None, relations.keys is None) == 2 * (not kind.memory,)
    if kind.memory:
        keys, memory = engine.to_host(relations.keys), engine.to_host(relations.memory)
        assert max(np.linalg.norm(keys, axis=0).max(), np.linalg.norm(memory, axis=1).max()) < 1.001
    if kind.audience:
        history = dense(engine, logs.history) > 0
        means = [users[history[:, track]].mean(axis=0) for track in range(12)]
        assert_allclose(engine.to_host(relations.audience)[:12], means, atol=1e-5)
    scores = engine.to_host(relations.scores(engine, space.tracks, space.users, logs.history))
    own, other = scores[:20][:, first], scores[:20][:, ~first][:, :6]
    assert (own[:, :, None] > other[:, None]).mean() > 0.75
    assert (scores[:, 12] < scores[:, :12].min(axis=1)).all()


def test_fit_depends_on_the_seed_only(engine: Engine) -> None:
    logs, _ = two_tastes(engine)
    one, again, other = (
        engine.to_host(HlrSpace.fit(engine, logs, OPTIONS, seed, silent).tracks)
        for seed in (1, 1, 2)
    )
    assert_allclose(one, again, atol=1e-4 if engine.name == "cuda" else 0)
    assert np.abs(one - other).max() > 1e-2


def test_settings_of_the_training() -> None:
    """Each alone changes what is learned, where the relation reads it."""
    _, positives = some_positives(20, 10, 0.4)

    def learned(**changes: Any) -> Any:
        training = RelationTraining(positives, OPTIONS.replace(epochs=1, **changes), seed=0)
        training.train(silent)
        return training.places.detach().numpy()

    assert np.abs(learned() - learned(history=2)).max() > 1e-6
    alike = learned(relation="attcml"), learned(relation="attcml", regularization=9.0)
    assert_array_equal(*alike)
    heavy = learned(relation="transcf", regularization=9.0)
    assert np.abs(learned(relation="transcf") - heavy).max() > 1e-3


def test_who_streamed_everything_teaches_nothing(engine: Engine) -> None:
    logs = hand_logs(engine, [[1, 1, 0], [2, 3, 0]], cold_day_one=[[1, 0, 0]])
    with pytest.raises(UserError, match="HLR has nothing to tell apart"):
        HlrSpace.check(engine, logs, OPTIONS)
