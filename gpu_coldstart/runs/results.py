"""What a run's stages left, as the values that the evaluation takes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping

import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load
from scipy import sparse

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.analysis import Curve, SpaceResults
from gpu_coldstart.strategies.carousels import ARMS

__all__ = ["space_results"]

Read = Callable[[str], Mapping[str, bytes]]
"""From the name of a finished stage to its files."""


def space_results(config: Config, space: str, read: Read, logs: Logs) -> SpaceResults:
    """Everything one embedding space led to, for the users who are measured."""
    n_test = logs.n_test
    cut, network = read(f"{space}/segments"), read(f"{space}/network")
    place = f"artifacts/{space}"
    embeddings = load(read(f"{space}/space")[f"{place}/space.safetensors"])
    arrays = load(cut[f"{place}/segments.safetensors"])
    shares = tuple(arrays[f"shares.{part}"] for part in ("data", "indices", "indptr"))
    shape = (len(arrays["centroids"]), len(embeddings["tracks"]))
    cold = load(network[f"{place}/predictions.safetensors"])["embeddings"]
    warm = load(network[f"{place}/predictions.warm.safetensors"])["embeddings"]
    lists = {
        name: read(f"{space}/{name}")[f"recommendations/{space}/{name}.parquet"]
        for name in config.strategies.names
    }
    shown = read(f"{space}/carousels") if config.carousels.playlists else {}
    return SpaceResults(
        users=embeddings["users"],
        tracks=embeddings["tracks"],
        predictions={"warm": warm, "validation": cold[: logs.n_validation]},
        curve=Curve(**json.loads(network[f"{place}/network.json"])),
        segments=pq.read_table(io.BytesIO(cut[f"{place}/segments.parquet"])).to_pydict(),
        shares=sparse.csr_array(shares, shape=shape),
        lists={name: _of_test_users(lists[name], "track_id", n_test) for name in lists},
        carousels={
            arm: _of_test_users(
                shown[f"recommendations/{space}/carousel-{arm}.parquet"], "playlist_id", n_test
            )
            for arm in ARMS
            if shown
        },
    )


def _of_test_users(content: bytes, column: str, n_test: int) -> HostArray:
    """A column of the test users' lists [test users, K]."""
    table = pq.read_table(io.BytesIO(content), columns=[column, "cohort"])
    cells: HostArray = table.filter(pc.field("cohort") == "test")[column].to_numpy()
    return cells.reshape(n_test, -1)
