"""How a configuration comes about, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart import registry
from gpu_coldstart.config.parameters import (
    PRESETS,
    PROTOCOLS,
    Config,
    flat,
)
from gpu_coldstart.config.resolve import resolve, to_toml
from gpu_coldstart.datasets.synthetic.world import PRESETS as WORLDS
from gpu_coldstart.errors import UserError
from tests.builtin import SPACES, STRATEGIES

KEYS = flat(Config())


def another(key: str, value: Any) -> Any:
    """An allowed value of the key that is not its default."""
    choices = {
        "dataset": "events",
        "preset": "tiny",
        "model": "mlp",  # there is no other; see test_registry
        "data": "/some/where",
        "spaces": ("ut-als",),
        "split.warm_until": "all",
        "spark.spaces": "executors",
        "tt_svd.history": "streams",
        "cml.sampler": "popular",
        "hlr.relation": "lrml",
        "new_releases.sources": ("genre", "album"),
        "segments.popularity": "listens",
        "features.pooling": "distinct",
        "features.scalars": "raw",
        "mlp.optimizer": "sgd",
        "mlp.precision": "bfloat16",
        "strategies.names": ("semi", "popularity"),
        "strategies.best_experts": ("semi", "ridge"),
        "strategies.dropoutnet_full_cold": "transform",
        "strategies.ridge_routes": ("tracks",),
        "strategies.ridge_targets": ("month",),
        "strategies.similarity": "inner",
        "strategies.registration_day_fallback": "none",
        "evaluation.protocol": "release",
        "evaluation.deviation": "repeated",
        "world.cold_week": "2019-05-06",
        "split.cold_share": 0.25,
        "world.n_genres": 7,
    }
    if key in choices:
        return choices[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(single + 1 for single in value)
    return value + 1 if isinstance(value, int) else value * 0.9 + 0.001


def differing(one: Config, other: Config) -> set[str]:
    """Keys whose values differ."""
    mine, theirs = flat(one), flat(other)
    return {key for key in mine if mine[key] != theirs[key]}


def spelled(value: Any) -> str:
    """A value as it stands on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# -- every key ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_be_set_alone(key: str) -> None:
    value = another(key, KEYS[key])
    preset = value if key == "preset" else "small"
    config = resolve(settings={key: spelled(value)})
    assert flat(config)[key] == value
    assert type(flat(config)[key]) is type(KEYS[key])
    if key != "evaluation.protocol":  # by which others are set
        usual = resolve(preset=preset)
        assert differing(config, usual) <= {key}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_survives_a_toml_file(key: str, tmp_path: Path) -> None:
    config = resolve(settings={key: another(key, KEYS[key])})
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert resolve(files=[path]) == config


@pytest.mark.parametrize("key", KEYS)
def test_every_key_refuses_another_type(key: str) -> None:
    value = KEYS[key]
    wrong: Any = "nonsense" if isinstance(value, bool | int | float) else 1.5
    if isinstance(value, tuple):
        wrong = [1.5] if isinstance(value[0], int | str) else ["nonsense"]
    elif isinstance(value, str):
        wrong = 5
    with pytest.raises(UserError, match=key.replace(".", r"\.")) as told:
        resolve(settings={key: wrong})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "key",
    [
        key
        for key, value in KEYS.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ],
)
@pytest.mark.parametrize("value", [-1, -0.5, "nan", "inf", 10**30])
def test_no_number_goes_everywhere(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=key.rsplit(".", 1)[-1]):
        resolve(settings={key: value})


def test_keys_are_of_one_level() -> None:
    tree = Config().model_dump()
    assert set(tree) >= {key.split(".")[0] for key in KEYS}
    assert all(key.count(".") <= 1 for key in KEYS)


# -- precedence --------------------------------------------------------------------------------


def test_a_preset_lies_over_the_defaults() -> None:
    tiny, paper = resolve(preset="tiny"), resolve(preset="paper")
    assert (tiny.preset, tiny.world, tiny.tt_svd.dimension) == ("tiny", WORLDS["tiny"], 24)
    assert (paper.preset, paper.world, paper.tt_svd.dimension) == ("paper", WORLDS["paper"], 128)


def test_the_paper_preset_has_the_papers_hyper_parameters() -> None:
    paper = resolve(preset="paper")
    assert (paper.mlp.hidden, paper.mlp.batch_size) == ((400, 300, 200), 512)
    assert (paper.ut_als.factors, paper.tt_svd.dimension) == (256, 128)
    assert paper.evaluation.k == (50,)
    world = paper.world
    assert (world.n_warm, world.n_validation, world.n_test) == (70_000, 20_000, 10_000)
    assert world.n_tracks == 50_000


def test_a_data_set_lies_over_the_preset() -> None:
    assert resolve(dataset="tafeng").split.min_truth == 10
    assert resolve(dataset="events").split.min_truth == 1
    assert resolve(dataset="tafeng", settings={"split.min_truth": 3}).split.min_truth == 3


def test_a_file_lies_over_the_preset_and_a_setting_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[tt_svd]\ndimension = 9\nshift = 2\n")
    config = resolve(preset="tiny", files=[path], settings={"tt_svd.shift": "3"})
    assert (config.tt_svd.dimension, config.tt_svd.shift) == (9, 3.0)
    assert config.tt_svd.oversamples == 10  # the preset's


@pytest.mark.parametrize("preset", PRESETS)
def test_types_do_not_depend_on_the_preset(preset: str) -> None:
    found = {key: type(value) for key, value in flat(resolve(preset=preset)).items()}
    assert found == {key: type(value) for key, value in KEYS.items()}
    assert resolve(preset=preset, settings={"world.warm_tracks_mean": 41.5})


def test_a_later_file_lies_over_an_earlier_one(tmp_path: Path) -> None:
    paths = [tmp_path / "one.toml", tmp_path / "two.toml"]
    paths[0].write_text("seed = 1\n[segments]\nk = 5\n")
    paths[1].write_text("seed = 2\n")
    config = resolve(files=paths)
    assert (config.seed, config.segments.k) == (2, 5)


def test_a_file_may_choose_the_preset_and_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "tiny"\ndataset = "tafeng"\n')
    config = resolve(files=[path])
    assert (config.preset, config.world.n_warm, config.split.min_truth) == ("tiny", 400, 10)
    over = resolve(files=[path], settings={"preset": "small"})
    assert (over.preset, over.tt_svd.dimension) == ("small", 128)


def test_the_default_is_small_and_synthetic() -> None:
    config = resolve()
    assert (config.dataset, config.preset, config.seed) == ("synthetic", "small", 0)
    assert config.spaces == SPACES
    assert config.strategies.names == STRATEGIES


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dataset", registry.DATASETS.names())
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_resolved_configuration_is_a_fixed_point(
    preset: str, dataset: str, protocol: str, tmp_path: Path
) -> None:
    settings = {"evaluation.protocol": protocol}
    config = resolve(preset=preset, dataset=dataset, settings=settings)
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    again = resolve(files=[path])
    assert again == config
    assert to_toml(again) == to_toml(config)


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["25,50", "[25, 50]", " 25 , 50 ", [25, 50], (25, 50), "25,50,"])
def test_a_list_can_be_written_in_many_ways(given: Any) -> None:
    assert resolve(settings={"evaluation.k": given}).evaluation.k == (25, 50)


@pytest.mark.parametrize("given", ["25", 25, [25]])
def test_a_list_may_have_one_value(given: Any) -> None:
    assert resolve(settings={"evaluation.k": given}).evaluation.k == (25,)


@pytest.mark.parametrize("given", ["semi,soft", '["semi", "soft"]', "semi, soft"])
def test_a_list_of_words_keeps_its_order(given: str) -> None:
    config = resolve(settings={"strategies.names": given})
    assert config.strategies.names == ("semi", "soft")


@pytest.mark.parametrize("given", ["", "[]", ",", [], "25,x", "2.5", "25,true"])
def test_a_list_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=r"'evaluation\.k' needs a list of whole numbers"):
        resolve(settings={"evaluation.k": given})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("strategies.names", "semi,semi"),
        ("spaces", "tt-svd,tt-svd"),
        ("evaluation.k", "50,25,50"),
        ("features.age_classes", "18,18"),
    ],
)
def test_a_value_twice_in_a_list_of_names_is_refused(key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"'{key}' names a value twice"):
        resolve(settings={key: value})


def test_layers_may_be_of_the_same_width() -> None:
    assert resolve(settings={"mlp.hidden": "200,200"}).mlp.hidden == (200, 200)


def test_age_classes_ascend() -> None:
    with pytest.raises(UserError, match=r"'features\.age_classes'.*ascending"):
        resolve(settings={"features.age_classes": "50,18"})


def test_an_integer_does_for_a_float_but_not_the_reverse() -> None:
    assert resolve(settings={"tt_svd.shift": "5"}).tt_svd.shift == 5.0
    with pytest.raises(UserError, match=r"'segments\.k' is 5\.0, but a whole number"):
        resolve(settings={"segments.k": "5.0"})


@pytest.mark.parametrize("given", ["true", True])
def test_a_truth_value_is_no_number(given: Any) -> None:
    assert resolve(settings={"strategies.exclude_seen": given}).strategies.exclude_seen is True
    for key in ("segments.k", "tt_svd.shift", "evaluation.k"):
        with pytest.raises(UserError, match=key.replace(".", r"\.")):
            resolve(settings={key: given})
    with pytest.raises(UserError, match="exclude_seen"):
        resolve(settings={"strategies.exclude_seen": "1"})


@pytest.mark.parametrize("name", ["2020", "2020-11-01", "true", "1e5", "[a]", "nan", "a,b", "ä b"])
def test_a_directory_may_have_any_name(name: str) -> None:
    assert resolve(dataset="events", settings={"data": name}).data == str(Path(name).absolute())


def test_a_word_may_be_quoted_as_in_toml() -> None:
    assert resolve(settings={"mlp.optimizer": '"sgd"'}).mlp.optimizer == "sgd"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("dataset", "spotify", "synthetic, events, tafeng"),
        ("preset", "large", "tiny, small, paper"),
        ("spaces", "tt-svd,word2vec", "tt-svd, ut-als"),
        ("strategies.names", "semi,most", "popularity, registration-day"),
        ("strategies.similarity", "euclid", "cosine, inner"),
        ("mlp.optimizer", "lion", "adam, sgd"),
        ("features.pooling", "max", "events, distinct"),
        ("features.scalars", "none", "raw, standard"),
        ("tt_svd.history", "all", "distinct, streams"),
        ("split.warm_until", "tomorrow", "auto, first-cold-day, all"),
        ("segments.popularity", "streams", "members, listens"),
        ("strategies.registration_day_fallback", "chart", "popularity, none"),
        ("evaluation.protocol", "code", "own, paper, release"),
    ],
)
def test_a_choice_is_one_of_few(key: str, value: str, allowed: str) -> None:
    with pytest.raises(UserError, match=key.replace(".", r"\.")) as told:
        resolve(settings={key: value})
    assert allowed in str(told.value)


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("seed", 0),
        ("segments.k", 0),
        ("segments.restarts", 1),
        ("segments.seeding_points", 0),
        ("strategies.input_features_points", 0),
        ("mlp.patience", 0),
        ("mlp.batch_size", 2),
        ("evaluation.folds", 2),
        ("evaluation.bootstrap", 1),
        ("split.truth_days", 1),
        ("split.min_truth", 0),
        ("mlp.epochs_tt_svd", 1),
        ("evaluation.k", 1),
        ("mlp.hidden", 1),
        ("strategies.soft_segments", 1),
        ("strategies.soft_overshoot", 0),
    ],
)
def test_a_number_has_a_least_value(key: str, least: int) -> None:
    resolve(settings={key: least})
    with pytest.raises(UserError, match=f"must be at least {least}"):
        resolve(settings={key: least - 1})


@pytest.mark.parametrize("value", [0, 1, 1.5])
def test_the_cold_share_is_a_share(value: float) -> None:
    with pytest.raises(UserError, match=r"'split\.cold_share'.* must be (more than 0|less than 1)"):
        resolve(settings={"split.cold_share": value})


def test_an_impossible_world_is_refused() -> None:
    with pytest.raises(UserError, match=r"world\.n_tracks is 10: give at least"):
        resolve(settings={"world.n_tracks": 10})
