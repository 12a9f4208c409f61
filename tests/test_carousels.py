"""Carousels against plain Python: who is shown which playlists, in which order, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gpu_coldstart.config.parameters import CarouselsConfig, FeaturesConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation import replay
from gpu_coldstart.segments import describe
from gpu_coldstart.strategies.carousels import (
    ARMS,
    Carousel,
    Offer,
    carousels,
    columns,
    explanation,
    explanations,
    notes,
)
from tests.strategies.contexts import N_COLD, N_SEGMENTS, N_TRACKS, N_WARM, D, Stage, World
from tests.worlds import Raw, event, stream, types
from tests.worlds import user as person

Vector = list[float]
COUNTRY = [0, 0, 0, 0, 1, 1, 1, 1, -1, 0, 0, -1, 0, 1, 2, -1, 1, 0, 0]
"""Of the warm users, then of the cold; nobody warm lives in the third country."""
LABELS = [0, 1, 2, 3] * 3


def some_lists(seed: int, n: int, sizes: Sequence[int]) -> list[list[int]]:
    """Tracks of some playlists, of the sizes in turn."""
    random = np.random.default_rng(seed)
    return [
        sorted(random.choice(N_TRACKS, sizes[i % len(sizes)], replace=False).tolist())
        for i in range(n)
    ]


def shop(
    engine: Engine,
    world: World,
    lists: list[list[int]],
    *,
    similarity: str = "cosine",
    countries: tuple[str, ...] = ("FR", "BR", "ZZ"),
    **options: int,
) -> tuple[Stage, Offer]:
    """The small context of the strategies' tests, with playlists; their ids are 100, 103, ..."""
    members = np.zeros((len(lists), N_TRACKS))
    for row, tracks in zip(members, lists, strict=True):
        row[tracks] = 1
    country = np.array(COUNTRY if countries else [-1] * len(COUNTRY), np.int32)
    stage = world.stage(
        engine,
        similarity=similarity,
        labels=LABELS,
        members=members,
        country=engine.asarray(country),
        countries=countries,
        playlist_ids=engine.asarray(100 + 3 * np.arange(len(lists))),
    )
    past = stage.past
    return stage, Offer.fit(engine, past.logs, past.space, CarouselsConfig(**options))


# -- the oracle ------------------------------------------------------------------------------------


def mean(vectors: Sequence[Sequence[float]]) -> Vector:
    return [sum(parts) / len(vectors) for parts in zip(*vectors, strict=True)]


def likeness(a: Sequence[float], b: Sequence[float], similarity: str) -> float:
    inner = sum(x * y for x, y in zip(a, b, strict=True))
    if similarity == "inner":
        return inner
    sizes = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(y * y for y in b))
    return inner / (sizes[0] * sizes[1]) if all(sizes) else 0.0


def nearest(world: World, user: int) -> int:
    place = world.predictions[user].tolist()
    distances = [math.dist(place, centroid.tolist()) for centroid in world.centroids]
    return distances.index(min(distances))


def place_of(world: World, arm: str, user: int) -> Vector:
    """Where an arm puts a cold user, counted from the first one."""
    if arm == "full":
        return [float(value) for value in world.predictions[user]]
    if arm == "semi":
        return [float(value) for value in world.centroids[nearest(world, user)]]
    warm = [
        world.users[i].tolist() for i in range(N_WARM) if COUNTRY[i] == COUNTRY[N_WARM + user] >= 0
    ]
    return mean(warm or world.users.tolist())


def scores_of(
    world: World, lists: list[list[int]], arm: str, user: int, similarity: str
) -> list[float]:
    """The score of every playlist."""
    place = place_of(world, arm, user)
    return [
        likeness(place, mean([world.tracks[track].tolist() for track in tracks]), similarity)
        for tracks in lists
    ]


def check(found: tuple[list[int], list[float]], wanted: list[float], offered: list[int]) -> None:
    """A carousel is the best of what is offered, best first, equals by smaller id."""
    places, scores = found
    assert len(set(places)) == len(places)
    assert set(places) <= set(offered)
    assert scores == pytest.approx([wanted[place] for place in places], abs=1e-5)
    assert [*zip([-score for score in scores], places, strict=True)] == sorted(
        zip([-score for score in scores], places, strict=True)
    )
    left = [wanted[place] for place in offered if place not in places]
    assert not left or max(left) <= scores[-1] + 1e-5


def hosted(engine: Engine, carousel: Carousel) -> tuple[HostArray, HostArray]:
    playlists, scores = engine.to_host(carousel.playlists), engine.to_host(carousel.scores)
    assert types(playlists, scores) == ["int32", "float32"]
    return playlists, scores


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
@pytest.mark.parametrize("seed", range(3))
def test_naively_the_same(engine: Engine, seed: int, similarity: str) -> None:
    world, lists = World(seed), some_lists(seed, 30, range(1, 9))
    offered = [i for i, tracks in enumerate(lists) if len(tracks) >= 4]
    stage, offer = shop(engine, world, lists, similarity=similarity, playlists=5, least_tracks=4)
    found = carousels(stage.context, offer, stage.users)
    assert tuple(found) == ARMS
    for arm, carousel in found.items():
        playlists, scores = hosted(engine, carousel)
        assert playlists.shape == scores.shape == (N_COLD, 5)
        for user in range(N_COLD):
            wanted = scores_of(world, lists, arm, user, similarity)
            check((playlists[user].tolist(), scores[user].tolist()), wanted, offered)
    segments = engine.to_host(found["semi"].segments)
    assert segments.tolist() == [nearest(world, user) for user in range(N_COLD)]
    assert found["default"].segments is None
    assert found["full"].segments is None


def test_equal_playlists_are_ranked_by_id(engine: Engine) -> None:
    """Sums of integers over four tracks are exact, so equal scores are equal."""
    world = World()
    lists = some_lists(1, 4, [4]) * 4
    stage, offer = shop(engine, world, lists, similarity="inner", playlists=16, least_tracks=1)
    playlists, scores = hosted(engine, carousels(stage.context, offer, stage.users)["full"])
    for user in range(N_COLD):
        wanted = scores_of(world, lists, "full", user, "inner")
        order = sorted(range(16), key=lambda place: (-wanted[place], place))
        assert playlists[user].tolist() == order
        assert scores[user].tolist() == [wanted[place] for place in order]


def test_some_users_get_what_they_get_among_all(engine: Engine) -> None:
    stage, offer = shop(engine, World(), some_lists(2, 20, [5]), playlists=4, least_tracks=1)
    whole, some = (
        carousels(stage.context, offer, stage.users),
        carousels(stage.context, offer, stage.some(6, 1, 3)),
    )
    for arm in ARMS:
        assert (
            hosted(engine, some[arm])[0].tolist()
            == hosted(engine, whole[arm])[0][[6, 1, 3]].tolist()
        )


def test_members_of_a_country_see_the_same_and_strangers_the_mean_of_all(engine: Engine) -> None:
    stage, offer = shop(engine, World(), some_lists(2, 20, [5]), playlists=4, least_tracks=1)
    assert offer.means.shape == (3, D)
    assert engine.to_host(offer.country).tolist() == [0, 1, 2, 2]  # ZZ has nobody warm
    users = World().users
    wanted = [users[[0, 1, 2, 3, 9, 10]].mean(axis=0), users[4:8].mean(axis=0), users.mean(axis=0)]
    np.testing.assert_allclose(engine.to_host(offer.means), wanted, rtol=1e-6)
    shown = hosted(engine, carousels(stage.context, offer, stage.users)["default"])[0].tolist()
    assert shown[0] == shown[5] == shown[6]  # FR
    assert shown[2] == shown[3]  # a country without warm users, and none


def test_countries_that_nobody_knows(engine: Engine) -> None:
    lists = some_lists(2, 20, [5])
    stage, offer = shop(engine, World(), lists, countries=(), playlists=4, least_tracks=1)
    assert offer.means.shape == (1, D)
    assert engine.to_host(offer.country).tolist() == [0]
    shown = hosted(engine, carousels(stage.context, offer, stage.users)["default"])[0].tolist()
    assert shown == [shown[0]] * N_COLD


# -- how many --------------------------------------------------------------------------------------


def test_fewer_playlists_than_asked_for(engine: Engine) -> None:
    lists = some_lists(0, 9, [3, 6, 9])
    options = CarouselsConfig(playlists=12, least_tracks=6)
    stage, offer = shop(engine, World(), lists, playlists=12, least_tracks=6)
    for carousel in carousels(stage.context, offer, stage.users).values():
        playlists, _ = hosted(engine, carousel)
        assert playlists.shape == (N_COLD, 6)
        assert all(set(row) == {1, 2, 4, 5, 7, 8} for row in playlists.tolist())
    told = notes(engine, stage.past.logs, options)
    assert told[0] == (
        "6 of 9 playlists have 6 tracks or more (carousels.least_tracks), so carousels show 6 "
        "instead of 12"
    )


@pytest.mark.parametrize(
    ("n", "least", "words"),
    [(0, 1, "there are no playlists"), (5, 4, "0 of 5 playlists have 4 tracks or more")],
)
def test_no_playlists_to_show(engine: Engine, n: int, least: int, words: str) -> None:
    options = CarouselsConfig(playlists=12, least_tracks=least)
    lists = some_lists(0, n, [3])
    stage, offer = shop(engine, World(), lists, playlists=12, least_tracks=least)
    assert carousels(stage.context, offer, stage.users) == {}
    (told,) = notes(engine, stage.past.logs, options)
    assert words in told
    assert told.endswith("no carousels were made")


def test_no_notes_without_carousels(engine: Engine) -> None:
    stage, _ = shop(engine, World(), [])
    assert notes(engine, stage.past.logs, CarouselsConfig(playlists=0)) == []


@pytest.mark.parametrize("kind", ["track", "playlist", "artist"])
def test_notes_on_the_replay_say_that_nobody_had_a_favourite(engine: Engine, kind: str) -> None:
    users = [person(number, 0, "warm") for number in (1, 2)]
    users += [person(8, 10, "validation"), person(9, 10, "test")]
    interactions = [stream(number, 0, 5) for number in (1, 2)]
    interactions += [stream(number, 11, 5) for number in (8, 9)]
    tracks = [{"track_id": 5, "artist_id": 5}]
    raw = Raw(users, tracks, interactions, [{"playlist_id": 5, "track_id": 5}])
    (said,) = replay.notes(raw.truth(engine))
    assert "display-to-favourite rates say nothing" in said
    interactions.append(event(8, 11, "favorite", kind, 5))  # a validation user does not count
    assert len(replay.notes(raw.truth(engine))) == 1
    interactions.append(event(9, 11, "favorite", kind, 5))
    assert len(replay.notes(raw.truth(engine))) == (kind == "artist")


# -- as tables -------------------------------------------------------------------------------------


def test_rows_are_of_users_and_ranks(engine: Engine) -> None:
    stage, offer = shop(engine, World(), some_lists(3, 20, [5]), playlists=4, least_tracks=1)
    users, logs = stage.some(4, 2), stage.past.logs
    found = carousels(stage.context, offer, users)
    described = describe(engine, logs, stage.past.segments, FeaturesConfig().age_classes)
    why = explanations(described)
    for arm, carousel in found.items():
        table: dict[str, Any] = columns(
            engine,
            logs.user_ids[users.numbers],
            logs.playlist_ids,
            carousel,
            why,
            ids=logs.ids,
            titles=logs.titles,
        )
        playlists, scores = hosted(engine, carousel)
        assert table["user_id"].tolist() == [N_WARM + 4] * 4 + [N_WARM + 2] * 4
        assert table["rank"].tolist() == [1, 2, 3, 4] * 2
        assert table["playlist_id"].tolist() == (100 + 3 * playlists).ravel().tolist()
        assert table["score"].tolist() == scores.ravel().tolist()
        if arm != "semi":
            assert set(table) == {"user_id", "rank", "playlist_id", "score"}
            continue
        world = World()
        segments = [nearest(world, 4)] * 4 + [nearest(world, 2)] * 4
        assert table["segment"].tolist() == segments
        # Members are warm users in turn; neither ages nor genres are known here.
        country = [COUNTRY[i::N_SEGMENTS][:3] for i in range(N_SEGMENTS)]
        assert country == [[0, 1, -1], [0, 1, 0], [0, 1, 0], [0, 1, -1]]
        assert table["explanation"] == ["like listeners from FR"] * 8


def test_an_explanation_tells_what_is_known() -> None:
    assert explanation("BR", "25-34", ["sertanejo"]) == (
        "like listeners from BR, aged 25-34, of sertanejo"
    )
    assert explanation(None, "under 18", []) == "like listeners aged under 18"
    assert explanation("FR", None, ["rap", "pop"]) == "like listeners from FR, of rap, pop"
    assert "nothing is known" in explanation(None, None, [])
