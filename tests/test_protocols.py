"""Whose choices a protocol follows, and how it lies between presets and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu_coldstart.config.parameters import PROTOCOLS, Config, flat
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.world import PRESETS as WORLDS
from tests.test_settings import differing


def chosen(config: Config, *keys: str) -> tuple[Any, ...]:
    return tuple(flat(config)[key] for key in keys)


EPOCHS = ("mlp.epochs_tt_svd", "mlp.epochs_ut_als")


def test_the_paper_protocol_is_what_the_paper_states() -> None:
    for config in (resolve(preset="paper"), resolve(settings={"evaluation.protocol": "paper"})):
        assert config.evaluation.protocol == "paper"
        assert chosen(config, *EPOCHS) == (100, 130)
        assert (config.mlp.learning_rate, config.mlp.patience) == (1e-4, 0)
        assert config.features.scalars == "raw"
        assert not config.new_releases.place
        assert config.strategies.similarity == "cosine"
        assert config.strategies.registration_day_fallback == "popularity"


def test_the_release_protocol_is_what_the_released_code_does() -> None:
    config = resolve(settings={"evaluation.protocol": "release"})
    mlp = config.mlp
    assert (mlp.optimizer, mlp.learning_rate, mlp.weight_decay) == ("adam", 1e-5, 0.0)
    assert chosen(config, *EPOCHS) == (130, 130)
    assert (mlp.patience, mlp.drop_last, mlp.normalize_output) == (0, True, True)
    assert not config.new_releases.place
    cut = config.segments
    assert (cut.iterations, cut.restarts, cut.seeding_points) == (20, 10, 0)
    assert (cut.popularity, cut.popularity_days) == ("listens", 30)
    ways = config.strategies
    assert (ways.similarity, ways.registration_day_fallback) == ("inner", "none")
    assert (ways.input_features_k, ways.input_features_points) == (100, 0)
    assert config.features.scalars == "raw"
    assert config.evaluation.deviation == "repeated"


def test_a_preset_says_how_large_and_a_protocol_how() -> None:
    sizes = ("tt_svd.dimension", "ut_als.factors", "mlp.batch_size", "strategies.input_features_k")
    for protocol in PROTOCOLS:
        config = resolve(preset="tiny", settings={"evaluation.protocol": protocol})
        assert config.world == WORLDS["tiny"]
        assert chosen(config, *sizes) == (24, 32, 64, 10)
    # Both name the epochs.
    released = resolve(preset="tiny", settings={"evaluation.protocol": "release"})
    assert chosen(released, *EPOCHS) == (130, 130)
    assert chosen(resolve(preset="tiny"), *EPOCHS) == (5, 5)


def test_the_paper_preset_implies_the_protocol_unless_another_is_named(tmp_path: Path) -> None:
    own = resolve(preset="paper", settings={"evaluation.protocol": "own"})
    beside = {key for key in differing(own, resolve()) if not key.startswith("world.")}
    assert beside == {"preset", "mlp.batch_size"}
    path = tmp_path / "mine.toml"
    path.write_text('preset = "paper"\n[evaluation]\nprotocol = "release"\n')
    assert resolve(files=[path]).mlp.learning_rate == 1e-5


def test_a_setting_lies_over_the_protocol(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[evaluation]\nprotocol = "release"\n[segments]\nrestarts = 3\n')
    config = resolve(files=[path], settings={"mlp.learning_rate": "0.5"})
    assert (config.segments.restarts, config.mlp.learning_rate) == (3, 0.5)
    assert config.strategies.similarity == "inner"
    given = resolve(dataset="tafeng", settings={"evaluation.protocol": "release"})
    assert given.split.min_truth == 10
