"""How held-out tracks fare, counted user by user in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.config.parameters import NewReleasesConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation import new_releases as evaluation
from gpu_coldstart.evaluation.new_releases import NO_SOURCE, Audience, new_releases
from gpu_coldstart.spaces.new_releases import place
from tests.worlds import dense, hand_logs, sparse

N_WARM, N_TEST, N_TRACKS, D, K = 8, 9, 40, 4, 6
N_ARTISTS, N_ALBUMS = 7, 15


class Little:
    """A world in which tracks of the same place tie, and no others."""

    def __init__(self, engine: Engine, seed: int, *, owned: bool = True):
        random = np.random.default_rng(seed)
        history = (random.random((N_WARM, N_TRACKS)) < 0.4) * 1.0
        history = history[:, np.argsort(-history.sum(axis=0), kind="stable")]
        self.album = random.integers(-1, N_ALBUMS, N_TRACKS) if owned else np.full(N_TRACKS, -1)
        self.artist = np.where(self.album < 0, -1, self.album % N_ARTISTS)
        self.history: HostArray = history
        members = np.zeros((N_ARTISTS + N_ALBUMS, N_TRACKS))
        for track in range(N_TRACKS):
            if self.album[track] >= 0:
                members[self.artist[track], track] = 1
                members[N_ARTISTS + self.album[track], track] = 1
        self.logs: Logs = hand_logs(
            engine,
            history,
            cold_day_one=np.zeros((N_TEST + 1, N_TRACKS)),
            n_artists=N_ARTISTS,
            n_albums=N_ALBUMS,
            members=members,
            genre=engine.asarray(random.integers(-1, 3, N_TRACKS).astype(np.int32)),
            genres=("a", "b", "c"),
        )
        self.tracks: HostArray = random.integers(-3, 4, (N_TRACKS, D)).astype(np.float32)
        self.tracks[random.random(N_TRACKS) < 0.1] = 0
        self.places: HostArray = random.normal(size=(N_TEST, D)).astype(np.float32)
        self.wanted: HostArray = (random.random((N_TEST, N_TRACKS)) < 0.3) * 1.0

    def rows(
        self, engine: Engine, share: float, seed: int = 0, users: int = 0
    ) -> list[dict[str, Any]]:
        audience = Audience(engine.asarray(self.places), sparse(engine, self.wanted), "inner", K)
        options = NewReleasesConfig(held_out=share, users=users)
        tracks = engine.asarray(self.tracks)
        return list(new_releases(engine, self.logs, tracks, audience, options, seed=seed))


def measured(
    world: Little, out: list[int], here: list[int], tracks: HostArray, order: list[int]
) -> tuple[list[float], list[float], float]:
    """For the tracks here of the held-out: found, among and the share of all lists."""
    found, among, taken = [], [], 0
    for user, place_of in enumerate(world.places.astype(float)):
        scores = [float(place_of @ track) for track in tracks.astype(float)]
        first = sorted(order, key=lambda track: -scores[track])[:K]
        taken += len(set(first) & set(here))
        for track in here:
            if world.wanted[user, track]:
                found.append(float(track in first))
                others = [scores[other] for other in out if other != track]
                behind = sum(
                    (mine < scores[track]) + (mine == scores[track]) / 2 for mine in others
                )
                among.append(behind / max(1, len(others)))
    return found, among, taken / (N_TEST * K)


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def same(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("spare", [2, 32])
def test_everything_is_counted(
    engine: Engine, seed: int, share: float, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample and the order of equals are the code's own; its sizes are tested below."""
    world, drawn, orders = Little(engine, seed), [], []
    monkeypatch.setattr(evaluation, "_SPARE", spare)

    def noting(*given: Any) -> Any:
        made = place(*given)
        new = engine.to_host(given[3])
        drawn.append((new, engine.to_host(made[0]), engine.to_host(made[1])))
        return made

    def ordered(*given: Any) -> Any:
        orders.append(engine.to_host(given[3]).tolist())
        return lists(*given)

    lists = evaluation._Trial.lists
    monkeypatch.setattr(evaluation, "place", noting)
    monkeypatch.setattr(evaluation._Trial, "lists", ordered)
    rows = world.rows(engine, share)
    assert [*dict.fromkeys(row["new"] for row in rows)] == ["track", "album", "artist"]
    parts = zip(("track", "album", "artist"), drawn, orders, strict=True)
    for new, (mask, placed, source), late in parts:
        out = np.flatnonzero(mask).tolist()
        assert sorted(late) == out
        order = [*np.flatnonzero(~mask).tolist(), *late]
        mine = [row for row in rows if row["new"] == new]
        assert sum(row["tracks"] for row in mine) == 4 * len(out)
        for code, name in enumerate(("album", "artist", "genre", NO_SOURCE)):
            here = [track for track in out if source[track] == (code if code < 3 else -1)]
            by = {row["ranked_by"]: row for row in mine if row["source"] == name}
            assert bool(by) == bool(here)
            if here:
                check(world, by, out, here, (placed, order))


def check(
    world: Little,
    by: dict[str, dict[str, Any]],
    out: list[int],
    here: list[int],
    given: tuple[HostArray, list[int]],
) -> None:
    """The rows of one source."""
    wanted = int(world.wanted[:, here].sum())
    assert {(row["tracks"], row["wanted"], row["k"]) for row in by.values()} == {
        (len(here), wanted, K)
    }
    for name, (tracks, order) in {
        "placed": given,
        "learned": (world.tracks, list(range(N_TRACKS))),
    }.items():
        found, among, listed = measured(world, out, here, tracks, order)
        assert same(by[name]["recall"], mean(found))
        assert same(by[name]["among"], mean(among) if len(out) > 1 else None)
        assert same(by[name]["listed"], listed)
    placed = given[0]
    cosine = [
        float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) if a.any() and b.any() else 0.0
        for a, b in zip(placed[here].astype(float), world.tracks[here].astype(float), strict=True)
    ]
    assert_allclose(by["placed"]["cosine"], sum(cosine) / len(cosine), atol=1e-6)
    pairs = [(user, track) for user in range(N_TEST) for track in here if world.wanted[user, track]]
    assert same(by["popularity"]["recall"], mean([float(track < K) for _, track in pairs]))
    assert same(by["popularity"]["listed"], sum(track < K for track in here) / K)
    assert same(by["chance"]["recall"], K / N_TRACKS if pairs else None)
    assert same(by["chance"]["listed"], len(here) / N_TRACKS)
    behind = [sum(other > track for other in out) / max(1, len(out) - 1) for _, track in pairs]
    assert same(by["popularity"]["among"], mean(behind) if len(out) > 1 else None)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_so_many_are_held_out(engine: Engine, share: float) -> None:
    world = Little(engine, 0)
    rows = [row for row in world.rows(engine, share) if row["ranked_by"] == "chance"]
    old = dense(engine, world.logs.history).any(axis=0) & world.tracks.any(axis=1)
    found = sum(row["tracks"] for row in rows if row["new"] == "track")
    assert found == math.ceil(share * old.sum())
    assert bool(rows) == bool(share)


def test_another_seed_holds_out_others(engine: Engine) -> None:
    world = Little(engine, 0)
    assert world.rows(engine, 0.2) == world.rows(engine, 0.2) != world.rows(engine, 0.2, seed=1)


@pytest.mark.parametrize("users", [1, 4])
def test_a_sample_of_users_is_looked_at(
    engine: Engine, users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others may be anywhere and want anything."""
    world, drawn = Little(engine, 0), []
    some = Audience.some

    def noting(audience: Audience, engine: Engine, rows: HostArray) -> Audience:
        drawn.append(rows)
        return some(audience, engine, rows)

    monkeypatch.setattr(Audience, "some", noting)
    rows = world.rows(engine, 0.5, users=users)
    assert {row["users"] for row in rows} == {users}
    others = np.setdiff1d(range(N_TEST), drawn[0])
    assert len(others) == N_TEST - users
    world.places[others] *= -1
    world.wanted[others] = 1 - world.wanted[others]
    assert world.rows(engine, 0.5, users=users) == rows


def test_without_albums_and_artists_only_single_tracks_are_new(engine: Engine) -> None:
    rows = Little(engine, 0, owned=False).rows(engine, 0.3)
    assert {row["new"] for row in rows} == {"track"}
    assert {row["source"] for row in rows} == {"genre", NO_SOURCE}
