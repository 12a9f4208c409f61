"""What the network learns: its loss, its promise, and what every parameter changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.artists.audio import heard
from gpu_coldstart.artists.clustering import merged
from gpu_coldstart.artists.evaluation import evaluate
from gpu_coldstart.artists.model import ArtistModel, Mfcc, Tracks
from gpu_coldstart.artists.network import ArtistNetwork, placed
from gpu_coldstart.artists.training import _Loss, fit
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.errors import UserError
from tests.artists.sounds import RATE, TINY, sound

Hear = Callable[[ArtistsConfig], Tracks]


@pytest.fixture(scope="module")
def hear(tmp_path_factory: pytest.TempPathFactory) -> Hear:
    """The sound of fourteen artists, four tracks each."""
    place = tmp_path_factory.mktemp("sounds")
    paths: list[Path] = []
    artists = np.repeat(np.arange(14), 4)
    for track, artist in enumerate(artists):
        paths.append(place / f"{track}.wav")
        soundfile.write(paths[-1], sound(int(artist), track), RATE)
    known: dict[tuple[object, ...], Tracks] = {}

    def listen(options: ArtistsConfig) -> Tracks:
        key = (options.sample_rate, options.mel_bands, options.seconds, options.excerpts)
        if key not in known:
            names = tuple(f"a{number:02}" for number in range(14))
            known[key] = Tracks(heard(paths, options), artists, artists % 2, names)
        return known[key]

    return listen


def fitted(engine: Engine, tracks: Tracks, options: ArtistsConfig, seed: int = 0) -> ArtistModel:
    return ArtistModel.fit(engine, tracks, options, seed, lambda epoch, loss: None)


def fitted_network(
    engine: Engine,
    tracks: Tracks,
    options: ArtistsConfig,
    seed: int = 0,
    told: Callable[[int, float], None] = lambda epoch, loss: None,
) -> ArtistNetwork:
    return fit(
        engine,
        tracks.heard,
        tracks.artists,
        tracks.genres,
        options=options,
        seed=seed,
        progress=told,
    )


@pytest.fixture(scope="module")
def learned(engine: Engine, hear: Hear) -> ArtistModel:
    """A model of the first ten artists."""
    return fitted(engine, hear(TINY).of(np.arange(10)), TINY)


def test_artists_never_heard_before_are_told_apart(
    engine: Engine, hear: Hear, learned: ArtistModel
) -> None:
    unknown = hear(TINY).of(np.arange(10, 14))
    groups = merged(unknown.artists, 12, np.random.default_rng(0))
    network, mfcc, one = evaluate(engine, learned, unknown, groups)
    assert network.ari > 0.6
    assert network.ami > 0.6
    assert network.eer < 0.2
    assert network.divided > 0.6
    assert (one.ari, one.ami, one.divided, one.whole) == (0, 0, 0, 1)
    assert 0 <= mfcc.eer <= 1


def test_a_saved_model_places_as_before(
    engine: Engine, hear: Hear, learned: ArtistModel, tmp_path: Path
) -> None:
    some = hear(TINY).heard[:9]
    places = learned.place(engine, some)
    assert_allclose((places**2).sum(axis=1), 1, rtol=1e-5)
    learned.save(tmp_path / "model")
    again = ArtistModel.load(engine, tmp_path / "model")
    assert_array_equal(again.place(engine, some), places)
    assert_allclose(learned.place(engine, some[4:5])[0], places[4], atol=1e-6)
    assert (again.options, again.threshold, again.known) == (TINY, learned.threshold, learned.known)
    assert_array_equal(again.baseline.place(some), learned.baseline.place(some))
    content = (tmp_path / "model").read_bytes()
    for wrong in (content[:1000], content.replace(b"artists 1", b"artists 9"), b""):
        (tmp_path / "model").write_bytes(wrong)
        with pytest.raises(UserError, match="damaged or of another version"):
            ArtistModel.load(engine, tmp_path / "model")


def places_of(hear: Hear, seed: int = 0, **changes: Any) -> Any:
    """Of three tracks, by a network that has learned little from five artists."""
    options = TINY.replace(**{"epochs": 2, **changes})
    engine, _ = choose("cpu")
    sound, some = hear(options).heard, hear(options).of(np.arange(5))
    return placed(engine, fitted_network(engine, some, options, seed), sound[:3])


CHANGES: dict[str, Any] = {
    "sample_rate": 6000,
    "mel_bands": 16,
    "seconds": 0.7,
    "excerpts": 2,
    "channels": 10,
    "dimension": 6,
    "margin": 0.5,
    "same_genre": 1.0,
    "miner": "semihard",
    "learning_rate": 1e-3,
    "batch_size": 8,
    "epochs": 3,
}


def test_every_parameter_changes_what_is_learned(hear: Hear) -> None:
    """And nothing else does: the same seed gives the same to the last bit."""
    assert {*CHANGES, "validation"} == ArtistsConfig.model_fields.keys()
    plain = places_of(hear)
    assert_array_equal(places_of(hear), plain)
    assert not np.array_equal(places_of(hear, seed=1), plain)
    for name, value in CHANGES.items():
        assert not np.array_equal(places_of(hear, **{name: value}), plain), name


def test_the_share_for_validation_decides_who_is_learned_from(hear: Hear) -> None:
    engine, _ = choose("cpu")
    some = hear(TINY).of(np.arange(6))
    one, same, other = (
        fitted(engine, some, TINY.replace(epochs=2, validation=share)).place(engine, some.heard[:2])
        for share in (0.3, 0.3, 0.5)
    )
    assert_array_equal(one, same)
    assert not np.array_equal(one, other)


# -- the loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("miner", ["none", "all", "semihard", "hard"])
def test_loss(miner: Any) -> None:
    """Triplet by triplet; the mean is over those that are wrong by anything."""
    n, margin = 5, 0.4
    generator = torch.Generator().manual_seed(1)
    places = torch.nn.functional.normalize(torch.randn(3 * n, 3, generator=generator), dim=1)
    labels = torch.tensor([0, 1, 2, 0, 3] * 2 + [1, 0, 3, 2, 2])
    triplets = [(i, i + n, i + 2 * n) for i in range(n)]
    if miner != "none":
        every = product(range(3 * n), repeat=3)
        triplets = [
            (a, p, m)
            for a, p, m in every
            if a != p and labels[a] == labels[p] and labels[a] != labels[m]
        ]
    wrong = []
    for a, p, m in triplets:
        gap = math.dist(places[a], places[p]) - math.dist(places[a], places[m])
        allowed = {"hard": gap >= 0, "semihard": -margin <= gap < 0}.get(miner, True)
        if allowed and gap + margin > 0:
            wrong.append(gap + margin)
    assert len(wrong) > 1
    loss = _Loss(TINY.replace(miner=miner, margin=margin))(places, labels)
    assert float(loss) == pytest.approx(np.mean(wrong), rel=1e-4)


def test_excerpts_of_a_track_are_averaged() -> None:
    engine, _ = choose("cpu")
    network = ArtistNetwork(TINY).eval()
    sounds = np.random.default_rng(0).random((11, 3, 24, 8)).astype(np.float16)
    with torch.no_grad():
        each = network(torch.from_numpy(sounds).float().flatten(0, 1)).numpy().reshape(11, 3, -1)
    mean = each.mean(axis=1)
    wanted = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert_allclose(placed(engine, network, sounds), wanted, atol=1e-6)


def test_baseline_is_mean_and_deviation_of_mfcc() -> None:
    """By the discrete cosine transform, written out."""
    sounds = np.random.default_rng(0).random((4, 2, 24, 5)).astype(np.float16)
    where = np.pi * (np.arange(24) + 0.5) / 24
    basis = np.cos(np.outer(np.arange(20), where)) * math.sqrt(2 / 24)
    basis[0] /= math.sqrt(2)
    each = np.einsum("kb,nebf->nekf", basis, sounds.astype(float))
    wanted = np.concatenate([each.mean(axis=(1, 3)), each.std(axis=(1, 3))], axis=1)
    assert_allclose(Mfcc.raw(sounds), wanted, atol=1e-4)
    scaled = Mfcc(wanted.mean(axis=0), wanted.std(axis=0), 1.0).place(sounds)
    assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)


def test_too_few_artists_are_refused(engine: Engine, hear: Hear) -> None:
    with pytest.raises(UserError, match="the sound of 3 artists is too little"):
        fitted(engine, hear(TINY).of(np.arange(3)), TINY)


def test_a_loss_is_told_of_every_epoch(engine: Engine, hear: Hear) -> None:
    some = hear(TINY).of(np.arange(4))
    told: list[tuple[int, float]] = []
    fitted_network(engine, some, TINY.replace(epochs=2), told=lambda *each: told.append(each))
    assert [epoch for epoch, _ in told] == [1, 2]
    assert all(loss > 0 for _, loss in told)
