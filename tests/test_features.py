"""The input vector, block by block and scalar by scalar, recomputed from the raw tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.parameters import Config, FeaturesConfig, SplitConfig
from gpu_coldstart.data import signals
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.features import (
    FeatureBuilder,
    InputVectors,
    Scaler,
    age_class_names,
    age_classes,
)
from gpu_coldstart.spaces import Space
from tests.expectations import BLOCKS, SCALARS, Expected, Thing, expect, registrations_of
from tests.worlds import Raw, Row, event, some_world, stream, user

CONFIG = Config(split=SplitConfig(warm_until="all"))
FIRST_AGES = (18, 25, 35, 50, 65)

# -- names and order -------------------------------------------------------------------------------


def test_order_is_that_of_the_design() -> None:
    assert list(signals.BLOCKS) == BLOCKS
    assert list(signals.SCALARS) == SCALARS
    assert (len(BLOCKS), len(SCALARS)) == (20, 19)
    for scalar, place in zip(SCALARS[1:], signals.SCALAR_SIGNALS, strict=True):
        assert f"nb_{BLOCKS[2 + place]}" == scalar


@pytest.mark.parametrize(("d", "wanted"), [(128, 2579), (256, 5139), (1, 39)])
def test_width(engine: Engine, d: int, wanted: int) -> None:
    assert signals.width(d) == wanted
    raw = some_world(0)
    vectors = vectors_of(engine, raw, expect(raw, CONFIG), FeaturesConfig(), d=d)
    assert vectors.shape[1] == wanted


# -- ages ------------------------------------------------------------------------------------------


def test_age_classes(engine: Engine) -> None:
    ages = np.array([0, 17, 18, 24, 25, 34, 35, 49, 50, 64, 65, 130, np.nan], np.float32)
    found = age_classes(engine, engine.asarray(ages), FIRST_AGES)
    assert engine.to_host(found).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, -1]
    names = age_class_names(FIRST_AGES)
    assert names == ("under 18", "18-24", "25-34", "35-49", "50-64", "65 and over")
    assert age_class_names((30,)) == ("under 30", "30 and over")


def test_age_classes_heed_the_option(engine: Engine) -> None:
    ages = engine.asarray(np.array([29, 30], np.float32))
    assert engine.to_host(age_classes(engine, ages, (30,))).tolist() == [0, 1]


# -- the whole vector ------------------------------------------------------------------------------


def space_of(engine: Engine, wanted: Expected, d: int) -> Space:
    """Random embeddings in the order of the logs."""
    random = np.random.default_rng(d)
    tracks = random.normal(size=(len(wanted.tracks), d)).astype(np.float32)
    users = random.normal(size=(len(wanted.warm), d)).astype(np.float32)
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    return Space("x", engine.asarray(tracks), engine.asarray(users))


def inputs_of(
    engine: Engine, raw: Raw, wanted: Expected, options: FeaturesConfig, *, d: int
) -> InputVectors:
    logs = raw.logs(engine, CONFIG)
    builder = FeatureBuilder.fit(engine, logs, space_of(engine, wanted, d), options)
    assert builder.dimension == d
    return InputVectors(engine, builder, logs.registrations)


def vectors_of(
    engine: Engine, raw: Raw, wanted: Expected, options: FeaturesConfig, *, d: int = 3
) -> HostArray:
    inputs = inputs_of(engine, raw, wanted, options, d=d)
    vectors = engine.to_host(inputs.batch(engine.asarray(np.arange(len(wanted.users)))))
    assert vectors.dtype == np.float32
    assert inputs.width == vectors.shape[1]
    return vectors


def mean(rows: list[HostArray], d: int) -> HostArray:
    total = np.zeros(d)
    for row in rows:
        total = total + row
    return total / len(rows) if rows else total


def age_class(age: int | None) -> int | None:
    return None if age is None else sum(age >= first for first in FIRST_AGES)


def naive_blocks(
    engine: Engine, wanted: Expected, pooling: Any, d: int
) -> dict[tuple[int, str], HostArray]:
    """Every block of every user."""
    space = space_of(engine, wanted, d)
    tracks = dict(zip(wanted.tracks, engine.to_host(space.tracks).astype(float), strict=True))
    warm = dict(zip(wanted.warm, engine.to_host(space.users).astype(float), strict=True))
    places: Mapping[Thing, HostArray] = {
        thing: mean([tracks[number] for number in sorted(members)], d)
        for thing, members in wanted.members.items()
    }
    blocks = {}
    for who in wanted.users:
        person = wanted.people[who]
        of_age = age_class(person.get("age"))
        blocks[who, "age"] = mean(
            [
                place
                for other, place in warm.items()
                if of_age is not None and age_class(wanted.people[other].get("age")) == of_age
            ],
            d,
        )
        blocks[who, "country"] = mean(
            [
                place
                for other, place in warm.items()
                if person.get("country") is not None
                and wanted.people[other].get("country") == person["country"]
            ],
            d,
        )
        for name in BLOCKS[2:]:
            rows = []
            for thing, times in wanted.registration.get((who, name), {}).items():
                rows += [places[thing]] * (times if pooling == "events" else 1)
            blocks[who, name] = mean(rows, d)
    return blocks


def naive_scalars(wanted: Expected, scale: str) -> HostArray:
    """Every scalar of every user."""
    rows = []
    for who in wanted.users:
        age = wanted.people[who].get("age")
        counts = [
            float(sum(wanted.registration.get((who, name[3:]), {}).values()))
            for name in SCALARS[1:]
        ]
        rows.append([math.nan if age is None else float(age), *counts])
    if scale == "raw":
        return np.array([[0.0 if row[0] != row[0] else row[0], *row[1:]] for row in rows])
    n_warm = len(wanted.warm)
    known = [row[0] for row in rows[:n_warm] if row[0] == row[0]]
    columns = [[sum(known) / len(known) if row[0] != row[0] else row[0] for row in rows]]
    columns += [[math.log(1 + row[place]) for row in rows] for place in range(1, 19)]
    scaled = []
    for column in columns:
        middle = sum(column[:n_warm]) / n_warm
        spread = math.sqrt(sum((v - middle) ** 2 for v in column[:n_warm]) / n_warm)
        scaled.append([(value - middle) / (spread or 1.0) for value in column])
    return np.array(scaled).T


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pooling", ["events", "distinct"])
@pytest.mark.parametrize("scalars", ["raw", "standard"])
def test_every_block_and_scalar(engine: Engine, seed: int, pooling: Any, scalars: Any) -> None:
    raw, d = some_world(seed), 3
    wanted = expect(raw, CONFIG)
    vectors = vectors_of(engine, raw, wanted, FeaturesConfig(pooling=pooling, scalars=scalars), d=d)
    blocks = naive_blocks(engine, wanted, pooling, d)
    met = set()
    for i, who in enumerate(wanted.users):
        for place, name in enumerate(BLOCKS):
            found = vectors[i, place * d : (place + 1) * d]
            assert_allclose(found, blocks[who, name], rtol=1e-4, atol=1e-5, err_msg=name)
            if not blocks[who, name].any():
                assert not found.any()
            else:
                met.add(name)
    assert len(met) >= 18, "the world is too poor to test with"
    assert_allclose(vectors[:, 20 * d :], naive_scalars(wanted, scalars), rtol=1e-4, atol=1e-4)


def test_pooling_options_differ(engine: Engine) -> None:
    raw = some_world(1)
    wanted = expect(raw, CONFIG)
    one, other = (
        vectors_of(engine, raw, wanted, FeaturesConfig(pooling=pooling))
        for pooling in ("events", "distinct")
    )
    assert np.abs(one - other).max() > 0.01
    assert_array_equal(one[:, -19:], other[:, -19:])


def small() -> Raw:
    """Two tracks of one artist, an album of one; a warm user, and cold users to be described."""
    users = [
        user(1, 0, "warm", age=20, country="FR"),
        user(2, 0, "warm", age=24, country="BR"),
        user(5, 0, "validation", age=None, country="FR"),
        user(6, 0, "test", age=70, country="DE"),
    ]
    tracks: list[Row] = [
        {"track_id": 10, "artist_id": 1, "album_id": 7},
        {"track_id": 11, "artist_id": 1, "album_id": None},
        {"track_id": 12, "artist_id": None, "album_id": None},
    ]
    interactions = [stream(who, day, 10) for who in (1, 2, 5, 6) for day in (0, 1)]
    return Raw(users, tracks, interactions, [{"playlist_id": 3, "track_id": 12}])


def block(vectors: HostArray, row: int, name: str, d: int = 3) -> HostArray:
    place = BLOCKS.index(name)
    found: HostArray = vectors[row, place * d : (place + 1) * d]
    return found


def test_by_hand(engine: Engine) -> None:
    raw = small()
    raw.interactions += [
        stream(5, 0, 11, count=2),
        event(5, 0, "favorite", "artist", 1),
        event(5, 0, "search", "playlist", 3),
        event(5, 0, "ban", "track", 12),
        event(5, 1, "favorite", "album", 7),  # a day late
    ]
    wanted = expect(raw, CONFIG)
    space = space_of(engine, wanted, 3)
    tracks = dict(zip(wanted.tracks, engine.to_host(space.tracks), strict=True))
    users = engine.to_host(space.users)
    vectors = vectors_of(engine, raw, wanted, FeaturesConfig(scalars="raw"))
    artist = (tracks[10] + tracks[11]) / 2
    for name, value in {
        "age": np.zeros(3),  # unknown
        "country": users[0],
        "favorite_artists": artist,
        "favorite_albums": np.zeros(3),
        "streamed_songs": (tracks[10] + 2 * tracks[11]) / 3,
        "streamed_artists": artist,
        "streamed_albums": tracks[10],
        "search_playlists": tracks[12],
        "banned_songs": tracks[12],
        "banned_artists": np.zeros(3),  # the track has none
        "search_songs": np.zeros(3),
    }.items():
        assert_allclose(block(vectors, 2, name), value, rtol=1e-5, atol=1e-6, err_msg=name)
    counts = dict(zip(SCALARS, vectors[2, 60:].tolist(), strict=True))
    assert {name: value for name, value in counts.items() if value} == {
        "nb_favorite_artists": 1,
        "nb_streamed_songs": 3,
        "nb_streamed_artists": 3,
        "nb_streamed_albums": 1,
        "nb_search_playlists": 1,
        "nb_banned_songs": 1,
    }
    # Nobody warm is as old as the test user, nor from there; the warm share a class of age.
    assert not block(vectors, 3, "age").any()
    assert not block(vectors, 3, "country").any()
    assert_allclose(block(vectors, 0, "age"), users.mean(axis=0), rtol=1e-5)
    assert vectors[:, 60].tolist() == [20, 24, 0, 70]


def test_unknown_ages_and_no_deviation_are_no_trouble(engine: Engine) -> None:
    raw = small()
    for row in raw.users:
        del row["age"], row["country"]
    wanted = expect(raw, CONFIG)
    vectors = vectors_of(engine, raw, wanted, FeaturesConfig())
    assert np.isfinite(vectors).all()
    assert not vectors[:, :6].any()
    assert not vectors[:, 60].any()  # the age, everybody's mean


def test_cold_users_do_not_move_the_scale(engine: Engine) -> None:
    raw = small()
    before = vectors_of(engine, raw, expect(raw, CONFIG), FeaturesConfig())
    raw.users[3]["age"] = 130
    raw.interactions.append(event(6, 0, "search", "track", 12, count=9))
    after = vectors_of(engine, raw, expect(raw, CONFIG), FeaturesConfig())
    assert_array_equal(before[:3], after[:3])
    assert after[3, 60] > before[3, 60]


# -- users who are not in the logs -----------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["events", "distinct"])
@pytest.mark.parametrize("scalars", ["raw", "standard"])
def test_users_whom_the_builder_has_never_seen(engine: Engine, pooling: Any, scalars: Any) -> None:
    """Fitted without some cold users, the builder makes of them what it makes of them indexed."""
    raw, d, options = some_world(4), 3, FeaturesConfig(pooling=pooling, scalars=scalars)
    whole = expect(raw, CONFIG)
    strangers = whole.test
    known = Raw(
        [row for row in raw.users if row["user_id"] not in strangers[1:]],
        raw.tracks,
        [row for row in raw.interactions if row["user_id"] not in strangers[1:]],
        raw.playlists,
    )
    logs = known.logs(engine, CONFIG)
    assert len(strangers) > 2
    assert engine.to_host(logs.track_ids).tolist() == whole.tracks
    space = space_of(engine, whole, d)
    builder = FeatureBuilder.fit(engine, logs, space, options)
    registrations = registrations_of(engine, whole, strangers, logs.countries)
    inputs = InputVectors(engine, builder, registrations)
    vectors = engine.to_host(inputs.batch(engine.asarray(np.arange(len(strangers)))))
    blocks = naive_blocks(engine, whole, pooling, d)
    for i, who in enumerate(strangers):
        for place, name in enumerate(BLOCKS):
            block_of = vectors[i, place * d : (place + 1) * d]
            assert_allclose(block_of, blocks[who, name], rtol=1e-4, atol=1e-5, err_msg=name)
    places = [whole.users.index(who) for who in strangers]
    assert_allclose(
        vectors[:, 20 * d :], naive_scalars(whole, scalars)[places], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("raw", [True, False])
def test_a_scaler_knows_the_users_it_was_fitted_on_alone(engine: Engine, raw: bool) -> None:
    wanted = expect(some_world(2), CONFIG)
    registrations = some_world(2).logs(engine, CONFIG).registrations
    warm = registrations.first(len(wanted.warm))
    assert warm.events.shape[0] == 18 * len(wanted.warm)
    scaler = Scaler.fit(engine, warm, raw=raw)
    naive = naive_scalars(wanted, "raw" if raw else "standard")
    assert_allclose(
        engine.to_host(scaler.apply(engine, registrations)), naive, rtol=1e-4, atol=1e-4
    )
    ages = [age for who in wanted.warm if (age := wanted.people[who]["age"]) is not None]
    assert scaler.age == pytest.approx(sum(ages) / len(ages))


# -- batches ---------------------------------------------------------------------------------------


def test_batches(engine: Engine) -> None:
    raw = some_world(2)
    wanted = expect(raw, CONFIG)
    inputs = inputs_of(engine, raw, wanted, FeaturesConfig(), d=33)
    every = engine.to_host(inputs.batch(engine.asarray(np.arange(len(wanted.users)))))
    picked: Any = np.array([4, 0, 4, len(wanted.users) - 1])
    assert_array_equal(engine.to_host(inputs.batch(engine.asarray(picked))), every[picked])


@pytest.mark.parametrize("kept", [True, False])
def test_a_table_gives_the_same_bits_whether_it_is_kept_or_not(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    raw = some_world(2)
    wanted = expect(raw, CONFIG)
    inputs = inputs_of(engine, raw, wanted, FeaturesConfig(), d=33)
    users = np.arange(len(wanted.users))[::-1].copy()
    size = 4 * len(users) * inputs.width
    monkeypatch.setattr(engine, "resident_bytes", size if kept else size - 1)
    table = inputs.table(engine.asarray(users))
    made: list[int] = []

    def noting(some: Any) -> Any:
        made.append(len(some))
        return InputVectors.batch(inputs, some)

    monkeypatch.setattr(inputs, "batch", noting)
    places = np.array([3, 0, 3, len(users) - 1])
    found = engine.to_host(table(engine.asarray(places)))
    assert made == ([] if kept else [4])
    assert_array_equal(
        found, engine.to_host(InputVectors.batch(inputs, engine.asarray(users[places])))
    )
