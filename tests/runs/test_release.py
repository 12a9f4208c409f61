"""The flow on the public release's layout: the same results as on the tables it was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_coldstart.datasets.__main__ import main as datasets
from tests.runs.helpers import Result, command, refused, results, settings

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
    assert datasets(["deezer-layout", "--preset", "tiny", "--out", str(place)]) == 0
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
    mine, theirs = (results(tmp_path / name)["rows"] for name in ("release", "tables"))
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
