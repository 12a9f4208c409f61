"""Every knob does something: another value gives other results.

A new key of the configuration without an entry here fails the first test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gpu_coldstart.config import Config, flat
from gpu_coldstart.datasets.synthetic import generate as synthetic_world
from gpu_coldstart.datasets.synthetic.world import World
from gpu_coldstart.errors import UserError
from tests.runs.cases import (
    BEST,
    CAROUSEL,
    HELD_OUT,
    LISTS,
    LOGS,
    NETWORK,
    REPLAY,
    ROWS,
    SEGMENTS,
    SPACE,
    Case,
    als,
    cml,
    dropoutnet,
    gate,
    hlr,
    melu,
    mlp,
    of_content,
    only,
    softmax,
    svd,
)
from tests.runs.helpers import (
    Tables,
    command,
    differing,
    events,
    learned,
    refused,
    results,
    settings,
    synthetic,
    write,
)
from tests.test_settings import another, spelled

KEYS = flat(Config())

UNHEARD = {"world.n_tracks": "900"}
"""So many tracks that nobody streams some of them."""

NOTHING = {
    "dataset": "says where the tables come from; see test_command",
    "data": "says where the tables are; see test_command",
    "preset": "says where the other values came from",
    "evaluation.protocol": "says where the other values came from",
    "model": "there is one model; see test_registry",
    "spark.spaces": "says where the same is learned; see tests/distributed/test_spaces.py",
    **{key: "says how others came about" for key in KEYS if key.startswith("tuning.")},
}
"""Keys that by what they mean change nothing of the results."""

CASES: dict[str, Case] = {
    "seed": Case("1", NETWORK, LOGS, dated=True),
    "spaces": Case("ut-als", "artifacts/ut-als/space.safetensors", LOGS),
    "split.cold_share": Case("0.4", LOGS, dated=True),
    "split.truth_days": Case("5", LOGS),
    "split.min_truth": Case("9", LOGS),
    "split.warm_until": Case("all", LOGS, dated=True),
    "split.warm_users": Case("80", LOGS),
    "ut_als.factors": als("6"),
    "ut_als.iterations": als("3"),
    "ut_als.regularization": als("1.0"),
    "ut_als.confidence": als("3.0"),
    "ut_als.cg_steps": als("1"),
    "ut_als.stream_weight": als("2.0"),
    "ut_als.favorite_track_weight": als("5.0"),
    "ut_als.favorite_album_weight": als("5.0"),
    "ut_als.favorite_artist_weight": als("5.0"),
    "tt_svd.dimension": svd("6"),
    "tt_svd.shift": svd("1.5"),
    "tt_svd.smoothing": svd("0.75"),
    "tt_svd.exponent": svd("1.0"),
    "tt_svd.min_count": svd("2"),
    "tt_svd.max_tracks": svd("5"),
    "tt_svd.oversamples": svd("9"),
    "tt_svd.power_iterations": svd("0"),
    "tt_svd.history": svd("streams"),
    "cml.dimension": cml("6"),
    "cml.margin": cml("0.5"),
    "cml.covariance": cml("0.0"),
    "cml.sampler": cml("popular"),
    "cml.popularity_power": cml("0.5", sampler="popular"),
    "cml.candidates": cml("20", sampler="two-stage"),
    "cml.negatives": cml("2"),
    "cml.learning_rate": cml("0.01"),
    "cml.batch_size": cml("64"),
    "cml.epochs": cml("1"),
    # Two are part of what is saved, so that lists have to show them.
    "hlr.relation": Case("hlr++", LISTS, LOGS, "hlr", **only("full")),
    "hlr.dimension": hlr("6"),
    "hlr.memories": hlr("3"),
    "hlr.key_length": hlr("0.1"),
    "hlr.history": Case("2", LISTS, LOGS, "hlr", **only("full")),
    "hlr.margin": hlr("0.1"),
    "hlr.regularization": hlr("9.0", relation="transcf"),
    "hlr.learning_rate": hlr("0.01"),
    "hlr.batch_size": hlr("100"),
    "hlr.epochs": hlr("1"),
    "hlr.held_out": hlr("0.3"),
    "hlr.patience": hlr("0", learning_rate="0.3", epochs="5"),
    "new_releases.place": Case("true", SPACE, LOGS, under=UNHEARD),
    "new_releases.sources": Case(
        "genre", SPACE, LOGS, under=UNHEARD | {"new_releases.place": "true"}
    ),
    "new_releases.neighbours": Case(
        "3", HELD_OUT, LISTS, under={"new_releases.sources": "sound"}, dated=True
    ),
    "new_releases.held_out": Case("0.2", HELD_OUT, LISTS),
    "new_releases.users": Case("9", HELD_OUT, LISTS),
    "segments.k": Case("7", SEGMENTS, SPACE),
    "segments.iterations": Case("1", SEGMENTS, SPACE, under={"segments.k": "7"}),
    "segments.restarts": Case(
        "9", SEGMENTS, SPACE, under={"segments.k": "12", "segments.iterations": "1"}
    ),
    "segments.seeding_points": Case("2", SEGMENTS, SPACE, under={"segments.k": "12"}),
    "segments.popularity": Case("listens", SEGMENTS, SPACE),
    "segments.popularity_days": Case("30", LOGS),
    "features.age_classes": Case("30", NETWORK, SEGMENTS),
    "features.pooling": Case("distinct", NETWORK, SEGMENTS),
    "features.scalars": Case("raw", NETWORK, SEGMENTS),
    "mlp.hidden": mlp("12"),
    "mlp.normalize_output": mlp("false"),
    "mlp.optimizer": mlp("sgd"),
    "mlp.learning_rate": mlp("0.01"),
    "mlp.momentum": mlp("0.5", optimizer="sgd"),
    "mlp.weight_decay": mlp("0.1"),
    "mlp.batch_size": mlp("32"),
    "mlp.drop_last": mlp("true"),
    "mlp.epochs": Case("3", NETWORK, SEGMENTS, "cml", under={"mlp.patience": "0"}),
    "mlp.epochs_tt_svd": mlp("3", patience="0"),
    "mlp.epochs_ut_als": Case("3", NETWORK, SEGMENTS, "ut-als", under={"mlp.patience": "0"}),
    "mlp.precision": mlp("bfloat16"),
    "mlp.patience": mlp("1", learning_rate="10.0", epochs_tt_svd="20", batch_size="8"),
    "strategies.names": Case("semi", "recommendations/tt-svd/semi.parquet", NETWORK),
    "strategies.similarity": Case("inner", LISTS, NETWORK, space="ut-als", strategy="full"),
    "strategies.registration_day_fallback": Case(
        "none", LISTS, NETWORK, strategy="registration-day"
    ),
    "strategies.exclude_seen": Case("true", LISTS, NETWORK),
    "strategies.soft_segments": Case("2", LISTS, NETWORK, strategy="soft"),
    "strategies.soft_overshoot": Case("0", LISTS, NETWORK, strategy="soft"),
    "strategies.mixture_segments": Case("2", LISTS, NETWORK, **only("mixture")),
    "strategies.mixture_sharpnesses": Case("100.0", LISTS, NETWORK, **only("mixture")),
    "strategies.neighbours_users": Case("2", LISTS, NETWORK, **only("neighbours")),
    "strategies.neighbours_sharpnesses": Case("100.0", LISTS, NETWORK, **only("neighbours")),
    "strategies.als_fold_in_confidence": Case("0.01", LISTS, NETWORK, **only("als-fold-in")),
    "strategies.als_fold_in_regularization": Case("1e5", LISTS, NETWORK, **only("als-fold-in")),
    "strategies.best_experts": Case("popularity", LISTS, NETWORK, **only("best")),
    "strategies.best_strengths": Case("100.0", LISTS, NETWORK, **only("best")),
    "strategies.best_folds": Case("7", BEST, NETWORK, **only("best")),
    "strategies.best_users": Case("5", BEST, NETWORK, **only("best")),
    "strategies.best_discovery": Case("2.0", LISTS, BEST, **only("best")),
    "strategies.ridge_prior_events": Case("0.5", LISTS, NETWORK, **only("ridge")),
    "strategies.ridge_components": Case("2", LISTS, NETWORK, **only("ridge")),
    "strategies.ridge_track_components": Case(
        "2",
        LISTS,
        NETWORK,
        strategy="ridge",
        under={"strategies.names": "ridge", "strategies.ridge_routes": "tracks"},
    ),
    "strategies.ridge_routes": Case("tracks", LISTS, NETWORK, **only("ridge")),
    "strategies.ridge_place_strengths": Case("100.0", LISTS, NETWORK, **only("ridge")),
    "strategies.ridge_strengths": Case("100.0", LISTS, NETWORK, **only("ridge")),
    "strategies.ridge_targets": Case("month", LISTS, NETWORK, **only("ridge")),
    "strategies.gate_segments": gate("4"),
    "strategies.gate_smoothing": gate("5.0"),
    "strategies.gate_hidden": gate("9"),
    "strategies.gate_dropout": gate("0.5"),
    "strategies.gate_tracks": gate("3"),
    "strategies.gate_learning_rate": gate("0.01"),
    "strategies.gate_weight_decay": gate("0.1"),
    "strategies.gate_batch_size": gate("32"),
    "strategies.gate_epochs": gate("3", patience="0"),
    "strategies.gate_patience": gate("0", learning_rate="1.0", epochs="20"),
    "strategies.track_softmax_hidden": softmax("9"),
    "strategies.track_softmax_dropout": softmax("0.5"),
    "strategies.track_softmax_tracks": softmax("3"),
    "strategies.track_softmax_full_up_to": softmax("100"),
    "strategies.track_softmax_negatives": softmax("30", full_up_to="0"),
    "strategies.track_softmax_negatives_power": softmax("0.2", full_up_to="0", negatives="50"),
    "strategies.track_softmax_learning_rate": softmax("0.01"),
    "strategies.track_softmax_weight_decay": softmax("0.1"),
    "strategies.track_softmax_batch_size": softmax("32"),
    "strategies.track_softmax_epochs": softmax("3", patience="0"),
    "strategies.track_softmax_patience": softmax("0", learning_rate="1.0", epochs="20"),
    "strategies.item_item_kept": Case("1", LISTS, NETWORK, **only("item-item")),
    "strategies.item_item_shrinkages": Case("1e4", LISTS, NETWORK, **only("item-item")),
    "strategies.dropoutnet_full_hidden": dropoutnet("10"),
    "strategies.dropoutnet_full_rank": dropoutnet("5"),
    "strategies.dropoutnet_full_dropout": dropoutnet("0.9"),
    "strategies.dropoutnet_full_top": dropoutnet("3"),
    "strategies.dropoutnet_full_cold": dropoutnet("transform"),
    "strategies.dropoutnet_full_learning_rate": dropoutnet("0.01"),
    "strategies.dropoutnet_full_weight_decay": dropoutnet("0.1"),
    "strategies.dropoutnet_full_batch_size": dropoutnet("32"),
    "strategies.dropoutnet_full_epochs": dropoutnet("3", patience="0"),
    "strategies.dropoutnet_full_patience": dropoutnet("0", learning_rate="1.0", epochs="20"),
    "strategies.melu_full_embedding": melu("5"),
    "strategies.melu_full_hidden": melu("7"),
    "strategies.melu_full_support": melu("2"),
    "strategies.melu_full_local_learning_rate": melu("0.5"),
    "strategies.melu_full_local_steps": melu("3"),
    "strategies.melu_full_first_order": melu("true", local_learning_rate="0.5"),
    "strategies.melu_full_query": melu("3"),
    "strategies.melu_full_negatives": melu("2"),
    "strategies.melu_full_learning_rate": melu("0.01"),
    "strategies.melu_full_batch_size": melu("32"),
    "strategies.melu_full_epochs": melu("3", patience="0"),
    "strategies.melu_full_patience": melu("0", learning_rate="1.0", epochs="20"),
    **of_content(),
    "strategies.input_features_k": Case("9", LISTS, NETWORK, strategy="input-features"),
    "strategies.input_features_points": Case("5", LISTS, NETWORK, strategy="input-features"),
    "carousels.playlists": Case("5", CAROUSEL, NETWORK),
    "carousels.least_tracks": Case("20", CAROUSEL, NETWORK),
    "carousels.streamed_tracks": Case("1", REPLAY, CAROUSEL),
    "carousels.favorite_tracks": Case("2", REPLAY, CAROUSEL),
    "evaluation.k": Case("5", LISTS, NETWORK),
    "evaluation.deviation": Case("repeated", ROWS, LISTS),
    "evaluation.folds": Case("5", ROWS, LISTS),
    "evaluation.bootstrap": Case("30", ROWS, LISTS),
    "evaluation.analysis": Case("false", "tables/results.csv", NETWORK),
    "evaluation.figures": Case("true", "figures/results.svg", ROWS),
}

WORLD = [key for key in KEYS if key.startswith("world.")]
"""Keys of the synthetic world; that each matters there is tested with it."""

Runner = Callable[[Case, dict[str, str]], Path]


@pytest.fixture(scope="module")
def run(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Runs a case; what ran already is taken from before."""
    dated = dict(tables) | {"users": tables["users"].drop_columns(["split"])}
    tracks = tables["tracks"]["track_id"]
    places = np.random.default_rng(0).normal(size=(len(tracks), 3)).tolist()
    dated["sound"] = pa.table({"track_id": tracks, "embedding": places})
    data = write(dated, tmp_path_factory.mktemp("data"))
    done: dict[str, Path] = {}

    def once(case: Case, changes: dict[str, str]) -> Path:
        options = events(data) if case.dated else synthetic()
        options += ["--space", case.space, "--strategies", case.strategy]
        # The key itself may be one of those above.
        chosen = {"spaces": case.space, "strategies.names": case.strategy} | case.under | changes
        options = options[:-4] + settings(chosen)
        name = repr(options)
        if name not in done:
            out = tmp_path_factory.mktemp("run") / "run"
            result = command(*options, "--out", out)
            assert result.status == 0, result.err
            done[name] = out
        return done[name]

    return once


def test_every_key_is_listed() -> None:
    listed = [*NOTHING, *CASES, *WORLD]
    assert sorted(listed) == sorted(KEYS)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("key", CASES)
def test_another_value_gives_other_results(run: Runner, key: str) -> None:
    case = CASES[key]
    plain, changed = run(case, {}), run(case, case.beside or {key: case.value})
    files = differing(learned(plain), learned(changed))
    if results(plain)["rows"] != results(changed)["rows"]:
        files.add(ROWS)
    names = {"space": case.space, "strategy": case.strategy}
    assert case.shows.format(**names) in files
    if case.keeps:
        assert case.keeps.format(**names) not in files


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ('preset = "tiny"', 'preset = "small"'),
        ('preset = "tiny"', 'preset = "paper"'),
        ('protocol = "own"', 'protocol = "release"'),
    ],
)
def test_a_preset_or_protocol_by_its_name_changes_nothing(
    run: Runner, line: str, other: str, tmp_path: Path
) -> None:
    """All its values spelled out, the name is but a name."""
    plain = run(Case("", ""), {})
    text = (plain / "config.toml").read_text()
    assert line in text
    path = tmp_path / "config.toml"
    path.write_text(text.replace(line, other))
    assert command("--config", path, "--out", tmp_path / "run").status == 0
    assert learned(tmp_path / "run") == learned(plain)
    assert results(tmp_path / "run")["rows"] == results(plain)["rows"]


@pytest.mark.parametrize("key", WORLD)
def test_a_knob_of_the_world_reaches_the_world(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[World] = []

    def generate(world: World, seed: int) -> Tables:
        made.append(world)
        raise UserError("seen")

    monkeypatch.setattr(synthetic_world, "generate", generate)
    value = another(key, KEYS[key])
    options = ["--set", f"{key}={spelled(value)}", "--out", str(tmp_path / "run")]
    refused(command("--preset", "small", *options), "seen")
    assert getattr(made[0], key.partition(".")[2]) == value


def test_all_streams_count_where_no_weight_does(tmp_path: Path) -> None:
    """A weight of zero is a value like any other."""
    weights = {f"ut_als.favorite_{name}_weight": 0 for name in ("track", "album", "artist")}
    out = tmp_path / "run"
    arguments: list[Any] = ["--space", "ut-als", *settings(weights), "--out", out]
    result = command(*synthetic(), *arguments)
    assert result.status == 0, result.err
