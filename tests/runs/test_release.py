"""The flow on the public release's layout: the same results as on the tables it was made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gpu_coldstart.cli.main import main
from tests.runs.helpers import (
    Result,
    column,
    command,
    differing,
    lasting,
    manifest,
    refused,
    results,
    settings,
    synthetic,
    with_column,
)

CHEAP = {
    "features.scalars": "raw",
    "mlp.epochs_tt_svd": 2,
    "mlp.epochs_ut_als": 2,
    "evaluation.bootstrap": 20,
    "evaluation.analysis": "false",
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world in the release's layout."""
    place = tmp_path_factory.mktemp("release") / "files"
    assert main(["data", "deezer-layout", "--preset", "tiny", "--out", str(place)]) == 0
    return place


def run(release: Path, out: Path, **changes: object) -> Result:
    chosen = settings(CHEAP | {name.replace("__", "."): value for name, value in changes.items()})
    options = ["--dataset", "deezer", "--data", release, "--preset", "tiny", *chosen]
    return command(*options, "--out", out)


def test_it_gives_the_results_of_the_tables_it_was_made_of(release: Path, tmp_path: Path) -> None:
    done = run(release, tmp_path / "release")
    assert done.status == 0, done.err
    on_tables = command(
        *("--preset", "tiny", *settings(CHEAP | {"segments.popularity_days": 30})),
        *("--out", tmp_path / "tables"),
    )
    assert on_tables.status == 0, on_tables.err
    mine, theirs = (
        # Best also looks at single events of the day, which the release does not have.
        [row for row in results(tmp_path / name)["rows"] if row["strategy"] != "best"]
        for name in ("release", "tables")
    )
    assert len(mine) == 12
    for one, other in zip(mine, theirs, strict=True):
        for measure in ("precision", "recall", "ndcg"):
            assert one[measure] == pytest.approx(other[measure], abs=1e-9), one


def test_a_resumed_run_reads_only_what_it_needs(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(release, out, spaces="tt-svd", strategies__names="semi,full").status == 0
    options = settings(CHEAP | {"spaces": "tt-svd", "strategies.names": "semi,full"})
    resumed = command(
        *("--dataset", "deezer", "--data", release, "--preset", "tiny", *options),
        *("--out", out, "--resume"),
    )
    assert resumed.status == 0, resumed.err
    assert "kept from before" in resumed.out


@pytest.fixture(scope="module")
def disagreeing(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose two spaces do not say the same of what a test user streamed."""
    place = tmp_path_factory.mktemp("disagreeing")
    spoiled = "user_features_test_mf.parquet"
    for path in release.iterdir():
        if path.name != spoiled:
            (place / path.name).symlink_to(path)
    table = pq.read_table(release / spoiled)
    heard = column(table, "d1d30_songs")
    heard[0] = [*heard[0][1:], 10**6]  # one song less, and one that nobody knows
    pq.write_table(with_column(table, "d1d30_songs", heard), place / spoiled)
    return place


def test_notes_on_the_second_space_are_told(disagreeing: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(disagreeing, out, strategies__names="popularity")
    assert done.status == 0, done.err
    wanted = (
        r"1 of \d+ songs in d1d30_songs of user_features_test_mf\.parquet are not in "
        r"song_embeddings\.parquet; left out",
        r"warning: d1d30_songs of user_features_test_mf\.parquet is not that of "
        r"user_features_test_svd\.parquet",
    )
    for pattern in wanted:
        told = [note for note in results(out)["warnings"] if re.fullmatch(pattern, note)]
        assert len(told) == 1, (pattern, results(out)["warnings"])
        assert told[0] in (out / "results.md").read_text()


def test_a_run_broken_off_before_the_second_space_tells_them_too(
    disagreeing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run(disagreeing, out, strategies__names="popularity").status == 0
    whole = lasting(out)
    content = manifest(out)
    content["stages"] = {
        stage: files
        for stage, files in content["stages"].items()
        if stage in {"config", "logs"} or stage.startswith("tt-svd/")
    }
    (out / "manifest.json").write_text(json.dumps(content))
    options = settings(CHEAP | {"strategies.names": "popularity"})
    resumed = command(
        *("--dataset", "deezer", "--data", disagreeing, "--preset", "tiny", *options),
        *("--out", out, "--resume"),
    )
    assert resumed.status == 0, resumed.err
    assert differing(lasting(out), whole) == set()


def test_its_protocol_runs_on_tables_too_and_again_from_the_run_s_own_file(tmp_path: Path) -> None:
    done = command(*synthetic(), "--protocol", "release", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    text = (tmp_path / "run/config.toml").read_text()
    for line in ('protocol = "release"', "restarts = 10", 'similarity = "inner"'):
        assert line in text
    again = command("--config", tmp_path / "run/config.toml", "--out", tmp_path / "again")
    assert again.status == 0, again.err
    assert differing(lasting(tmp_path / "run"), lasting(tmp_path / "again")) == set()


def test_what_the_release_cannot_serve_is_told(release: Path, tmp_path: Path) -> None:
    sentence = refused(run(release, tmp_path / "run", strategies__exclude_seen="true"))
    assert "strategies.exclude_seen" in sentence
    assert not (tmp_path / "run").exists()


def test_it_needs_a_directory(tmp_path: Path) -> None:
    sentence = refused(command("--dataset", "deezer", "--out", tmp_path / "run"))
    assert "--data DIR" in sentence


def test_a_missing_file_names_what_to_download(release: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    partial.mkdir()
    for path in release.iterdir():
        if path.name != "user_embeddings.parquet":
            (partial / path.name).symlink_to(path)
    sentence = refused(run(partial, tmp_path / "run"))
    assert "user_embeddings.parquet" in sentence
    assert "download" in sentence
    assert not (tmp_path / "run").exists()
