"""A bundle out of a finished run: the run's lists, and the files that fitting would have saved."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.cli.main import main
from gpu_coldstart.errors import UserError
from gpu_coldstart.serving import bundle
from gpu_coldstart.serving.card import CARD
from gpu_coldstart.strategies.full import FullyPersonalized
from tests.builtin import EVERY_STRATEGY
from tests.rehearsal.install import rehearsed
from tests.runs.helpers import Result, Tables, command, manifest, refused, results, synthetic
from tests.runs.on_tables import CHEAP, ran
from tests.runs.served import first_day, sections

TOLD = {bundle.INDEX, CARD, "config.toml"}
"""Files that tell where a model comes from."""


def exporting(*arguments: object) -> Result:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["export", *map(str, arguments)])
    return Result(status, out.getvalue(), err.getvalue())


def index(place: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place / bundle.INDEX).read_text())
    return content


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("space", ["tt-svd", "ut-als"])
def test_it_recommends_what_the_run_did(
    plain: Path, tables: Tables, tmp_path: Path, space: str
) -> None:
    result = exporting(plain, "--space", space, "--engine", "cpu", "--out", tmp_path / "bundle")
    assert result.status == 0, result.err
    loaded = ColdStart.load(tmp_path / "bundle", engine="cpu")
    users, played = first_day(tables, "test")
    order = [("user_id", "ascending"), ("rank", "ascending")]
    for strategy in EVERY_STRATEGY:
        lists = pq.read_table(plain / f"recommendations/{space}/{strategy}.parquet")
        wanted = lists.filter(pc.is_in(lists["user_id"], users["user_id"])).sort_by(order)
        answer = loaded.recommend(users, played, k=10, strategy=strategy).sort_by(order)
        assert answer.num_rows == 10 * len(users)
        assert answer["track_id"].equals(wanted["track_id"]), strategy
        np.testing.assert_allclose(answer["score"], wanted["score"], atol=1e-5)


def test_on_the_gpu_it_recommends_the_same(plain: Path, tables: Tables, tmp_path: Path) -> None:
    users, played = first_day(tables, "test")
    wanted = ColdStart.from_run(plain, engine="cpu").recommend(users, played, k=10)
    with rehearsed():
        result = exporting(plain, "--engine", "cuda", "--out", tmp_path / "bundle")
        assert result.status == 0, result.err
    found = ColdStart.load(tmp_path / "bundle", engine="cpu").recommend(users, played, k=10)
    assert found["track_id"].equals(wanted["track_id"])
    np.testing.assert_allclose(found["score"], wanted["score"], atol=1e-5)


def answered(out: Path, tables: Tables, bundle: Path) -> tuple[ColdStart, pa.Table]:
    """The model of a run with ``full``, and the run's lists, after a check that they agree."""
    space = next((out / "recommendations").iterdir()).name
    ColdStart.from_run(out, engine="cpu").save(bundle)
    loaded = ColdStart.load(bundle, engine="cpu")
    lists = pq.read_table(out / f"recommendations/{space}/full.parquet")
    tested = lists.filter(pc.equal(lists["cohort"].cast("string"), "test"))
    order = [("user_id", "ascending"), ("rank", "ascending")]
    answer = loaded.recommend(*first_day(tables, "test"), k=10).sort_by(order)
    assert answer["track_id"].equals(tested.sort_by(order)["track_id"])
    return loaded, tested


def test_with_relations_run_and_bundle_recommend_the_same(tables: Tables, tmp_path: Path) -> None:
    """Lists follow from what users streamed that day, and not from where they are alone."""
    out = ran(tables, tmp_path, "--space", "hlr", "--strategies", "full")
    loaded, tested = answered(out, tables, tmp_path / "bundle")
    context = loaded.fitted.context
    assert context.relations is not None
    _, batch = loaded._users(*first_day(tables, "test"))
    without = replace(loaded.fitted.strategies["full"].context, relations=None)
    nearest = FullyPersonalized(without).recommend(batch, 10).tracks
    ids = loaded.fitted.model.entities.track_ids[nearest]
    assert set(tested["track_id"].to_pylist()) & set(ids.ravel().tolist())
    assert tested["track_id"].to_pylist() != ids.ravel().tolist()


def test_in_cml_run_and_bundle_recommend_the_nearest(tables: Tables, tmp_path: Path) -> None:
    out = ran(tables, tmp_path, "--space", "cml", "--strategies", "full")
    _, tested = answered(out, tables, tmp_path / "bundle")

    def learned(name: str) -> dict[str, Any]:
        return load((out / f"artifacts/cml/{name}.safetensors").read_bytes())

    places, tracks = learned("predictions")["embeddings"], learned("space")["tracks"]
    ids = load((out / "artifacts/logs.safetensors").read_bytes())["track_ids"]
    distances = np.linalg.norm(places[30:60, None].astype(float) - tracks[None], axis=2)
    distances[:, ~tracks.any(axis=1)] = np.inf
    nearest = ids[np.argsort(distances, axis=1, kind="stable")[:, :10]]
    assert tested["track_id"].to_pylist() == nearest.ravel().tolist()


def test_its_files_are_those_of_a_fitted_model(
    exported: Path, tables: Tables, tmp_path: Path
) -> None:
    fitted = ColdStart(space="tt-svd", engine="cpu", **sections())
    fitted.fit(Dataset.from_frames(**tables)).save(tmp_path / "fitted")
    one, other = contents(exported), contents(tmp_path / "fitted")
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] != other[name]} == TOLD


def test_it_is_the_same_to_the_byte_and_says_nothing_of_the_place(
    exported: Path, plain: Path, tmp_path: Path
) -> None:
    assert exporting(plain, "--out", tmp_path / "again", "--engine", "cpu").status == 0
    assert contents(tmp_path / "again") == contents(exported)
    assert not any(str(plain.parent).encode() in each for each in contents(exported).values())


def test_it_tells_what_the_run_measured(exported: Path, plain: Path) -> None:
    told, measured = index(exported), results(plain)
    quality = told["quality"]
    assert quality["test_users"] == told["data"]["test_users"] == 30
    assert quality["strategies"] == [row for row in measured["rows"] if row["space"] == "tt-svd"]
    assert {row["strategy"] for row in quality["strategies"]} == set(EVERY_STRATEGY)
    for rows in quality["by_interactions"], quality["exposure"]:
        assert {row["strategy"] for row in rows} == set(EVERY_STRATEGY)
    for row in quality["strategies"]:
        parts = [r for r in quality["by_interactions"] if r["strategy"] == row["strategy"]]
        assert sum(part["users"] for part in parts) == 30
        mean = sum(part["users"] * part["mean"] for part in parts) / 30
        assert mean == pytest.approx(row["ndcg"])


def test_it_tells_what_the_data_were(exported: Path, plain: Path) -> None:
    told, identity = index(exported), manifest(plain)["identity"]
    data = told["data"]
    assert data["name"] == "events"
    assert data["sha256"] == {name: file["sha256"] for name, file in identity["data"].items()}
    assert set(data["sha256"]) >= {"users.parquet", "interactions.parquet"}
    assert told["versions"] == identity["versions"]
    assert sum(data["warm_users_by_country"].values()) <= data["warm_users"] == 120
    assert data["first_day"] < data["last_day"]


def test_a_fitted_model_tells_its_files_too(plain: Path, tmp_path: Path) -> None:
    few = sections() | {"strategies": {"names": ["popularity"]}}
    data = Dataset.from_parquet(plain.parent / "data")
    ColdStart(engine="cpu", **few).fit(data).save(tmp_path / "bundle")
    told = index(tmp_path / "bundle")
    of_run = {name: file["sha256"] for name, file in manifest(plain)["identity"]["data"].items()}
    assert told["data"]["sha256"] == of_run
    assert told["quality"] is None
    assert told["versions"]["numpy"] == np.__version__
    again = ColdStart.load(tmp_path / "bundle", engine="cpu")
    again.save(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "bundle")


def test_the_data_need_not_be_there_any_more(tables: Tables, tmp_path: Path) -> None:
    run = ran(tables, tmp_path, *CHEAP)
    shutil.rmtree(tmp_path / "data")
    assert exporting(run, "--out", tmp_path / "bundle", "--engine", "cpu").status == 0
    assert list(ColdStart.load(tmp_path / "bundle", engine="cpu").fitted.strategies) == ["semi"]


def test_a_run_without_the_evaluation_tells_its_results_alone(tmp_path: Path) -> None:
    few = ("--space", "tt-svd", "--strategies", "popularity")
    done = command(*synthetic(evaluation__analysis="false"), *few, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert exporting(tmp_path / "run", "--out", tmp_path / "bundle").status == 0
    told = index(tmp_path / "bundle")
    assert len(told["quality"]["strategies"]) == 1
    assert told["quality"]["by_interactions"] == told["quality"]["exposure"] == []
    assert told["data"]["sha256"] is None  # the world is made, not read


# -- mistakes --------------------------------------------------------------------------------------


def test_no_run_to_export(tmp_path: Path) -> None:
    refused(exporting(tmp_path / "none", "--out", tmp_path / "b"), "is not a directory")
    refused(exporting(tmp_path, "--out", tmp_path / "b"), "holds no run")
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run(run: Path, tmp_path: Path) -> None:
    (run / "results.json").unlink()
    refused(exporting(run, "--out", tmp_path / "b"), "not finished", "--resume")


@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "artifacts/logs.safetensors",
        "artifacts/tt-svd/network.safetensors",
        "artifacts/tt-svd/best.state.safetensors",
        "artifacts/analysis/strata.parquet",
    ],
)
def test_a_damaged_or_missing_artifact(run: Path, tmp_path: Path, name: str) -> None:
    path = run / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(exporting(run, "--out", tmp_path / "b"), path.name, "damaged or missing")
    path.unlink()
    refused(exporting(run, "--out", tmp_path / "b"), path.name, "damaged or missing")
    assert not (tmp_path / "b").exists()


def test_a_run_that_is_not_what_its_settings_make(run: Path, tmp_path: Path) -> None:
    content = manifest(run)
    content["keys"]["tt-svd/space"] = "0" * 64
    (run / "manifest.json").write_text(json.dumps(content))
    refused(exporting(run, "--out", tmp_path / "b"), "stage tt-svd/space", "--resume")
    content["stages"].pop("config")
    (run / "manifest.json").write_text(json.dumps(content))
    refused(exporting(run, "--out", tmp_path / "b"), "stage config", "--resume")


def test_files_that_do_not_fit_together(run: Path, tmp_path: Path) -> None:
    content = manifest(run)
    name = "artifacts/tt-svd/segments.safetensors"
    (run / name).write_bytes((run / name).read_bytes()[:64])
    content["stages"]["tt-svd/segments"][name] = sha256((run / name).read_bytes()).hexdigest()
    (run / "manifest.json").write_text(json.dumps(content))
    refused(exporting(run, "--out", tmp_path / "b"), name, "damaged")
    content["stages"]["tt-svd/segments"] = {}
    (run / "manifest.json").write_text(json.dumps(content))
    refused(exporting(run, "--out", tmp_path / "b"), f"stage tt-svd/segments of {run}", "damaged")
    assert not (tmp_path / "b").exists()


def test_a_space_that_the_run_has_not(tmp_path: Path) -> None:
    few = ("--space", "tt-svd", "--strategies", "popularity")
    assert command(*synthetic(), *few, "--out", tmp_path / "run").status == 0
    sentence = refused(exporting(tmp_path / "run", "--space", "ut-als", "--out", tmp_path / "b"))
    assert "without the space 'ut-als': it has tt-svd" in sentence


def test_input_vectors_made_ready_are_refused(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    assert main(["data", "deezer-layout", "--preset", "tiny", "--out", str(layout)]) == 0
    options = ["--dataset", "deezer", "--data", layout, "--preset", "tiny", "--space", "tt-svd"]
    sizes = ["--strategies", "popularity", "--set", "mlp.epochs_tt_svd=1", "--set", "segments.k=4"]
    drawn = ["--set", "evaluation.figures=false", "--k", "10"]
    done = command(*options, *sizes, *drawn, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    sentence = refused(exporting(tmp_path / "run", "--out", tmp_path / "b"))
    assert "'deezer' brings input vectors ready made" in sentence
    next(layout.glob("song*")).unlink()
    refused(exporting(tmp_path / "run", "--out", tmp_path / "b"), "are not those it was run on")


def test_what_is_no_bundle_is_not_replaced(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    refused(exporting(plain, "--out", tmp_path / "mine"), "is not a bundle")
    with pytest.raises(UserError, match="without the space"):
        ColdStart.from_run(plain, space="none", engine="cpu")
