"""A card of compute capability 10.0 or more, on which cuML's k-means takes what it likes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans

from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import KmeansOptions
from tests.engine.test_geometry import check_kmeans, run_kmeans
from tests.rehearsal.install import Stage, rehearsed
from tests.runs.helpers import command, synthetic


@pytest.fixture(params=["100", "120"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with rehearsed(request.param) as found:
        yield found


@pytest.fixture
def card(stage: Stage) -> Engine:
    return choose("cuda")[0]


def groups(n: int = 3000, d: int = 8, k: int = 30) -> Any:
    random = np.random.default_rng(0)
    centres = random.standard_normal((k, d)) * 3
    return (centres[random.integers(k, size=n)] + random.standard_normal((n, d))).astype(np.float32)


def test_cumls_own_does_not_fit_where_ours_does(stage: Stage, card: Engine) -> None:
    """Nor from an array of centroids, since it stores all distances for that, too."""
    points = groups()
    stage.largest_allocation = 4 * len(points) * 20
    import cuml

    device = card.asarray(points)
    for init in ("scalable-k-means++", device[:30]):
        with pytest.raises(MemoryError):
            cuml.KMeans(n_clusters=30, init=init).fit(device)
    stage.calls.clear()
    check_kmeans(points, 30, *run_kmeans(card, points, 30))
    assert not [call for call in stage.calls if call.name.startswith("cuml")]


@pytest.mark.parametrize("seeding_points", [0, 20])
def test_it_is_about_as_good_as_another_library(card: Engine, seeding_points: int) -> None:
    points = groups()
    reference = KMeans(30, init="k-means++", n_init=3, random_state=0).fit(points).inertia_
    ours = [
        run_kmeans(card, points, 30, seed=seed, seeding_points=seeding_points)[2]
        for seed in range(3)
    ]
    assert np.mean(ours) < 1.1 * reference  # which is the best of three starts


def test_it_depends_on_the_seed_only(card: Engine) -> None:
    points = groups(500)
    one, again, other = (run_kmeans(card, points, 10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[1], again[1])
    assert (one[1] != other[1]).any()


def test_more_iterations_and_starts_do_no_harm(card: Engine) -> None:
    points = groups(800)
    one, many = (run_kmeans(card, points, 20, iterations=i)[2] for i in (1, 25))
    assert many < one
    once, thrice = (run_kmeans(card, points, 20, restarts=r)[2] for r in (1, 3))
    assert thrice <= 1.01 * once


@pytest.mark.parametrize("distinct", [1, 3, 8])
def test_repeated_points_leave_no_segment_empty(card: Engine, distinct: int) -> None:
    points = np.tile(groups(distinct), (20, 1))[:50]
    check_kmeans(points, 8, *run_kmeans(card, points, 8))


def test_the_start_reads_nothing_back(stage: Stage, card: Engine) -> None:
    """A loop over segments that waited for the card each time would take longer than all else."""
    points = card.asarray(groups(400))
    scalars = []
    for k in (5, 50):
        stage.transfers.clear()
        card.kmeans(points, KmeansOptions(k=k, iterations=1, seed=0))
        scalars.append(len(stage.moved("scalar")) + len(stage.moved("device-to-host")))
    assert scalars[0] == scalars[1]


def test_a_run_goes_through(stage: Stage, tmp_path: Path) -> None:
    options = ("--space", "tt-svd", "--strategies", "semi", "--engine", "cuda")
    result = command(*synthetic(), *options, "--out", tmp_path / "run")
    assert result.status == 0, result.err
    assert not [call for call in stage.calls if call.name.startswith("cuml")]


def test_older_cards_keep_to_cuml() -> None:
    with rehearsed("90") as stage:
        run_kmeans(choose("cuda")[0], groups(200), 5)
        assert any(call.name == "cuml.cluster.KMeans.fit" for call in stage.calls)
