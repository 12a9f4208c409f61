"""What benchmarks work on: a generated world of the paper's sizes times a scale, or Ta-Feng.

Everything is made, or read, in memory when it is first asked for, and nothing of it is timed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import scipy.sparse as sp

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data import tables
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import Source
from gpu_coldstart.datasets import events, tafeng
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS, World
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Csr
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import FeatureBuilder, InputVectors
from gpu_coldstart.spaces import Space, tt_svd

__all__ = ["Data", "Floats", "host", "points", "world_of"]

Floats: TypeAlias = npt.NDArray[Any]

_PAPER_SHAPE_FROM = 0.08
"""Below this scale there are too few tracks for the countries, genres and moods of the paper's
world; a smaller world has the shape of the preset ``tiny``, with 40 tracks a user, not 130."""

_LEAST = {"n_warm": 140, "n_validation": 40, "n_test": 40, "n_tracks": 700, "n_playlists": 300}


def world_of(scale: float) -> World:
    """The world with the paper's numbers of users, tracks and playlists times ``scale``.

    Examples
    --------
    >>> world_of(0.1).n_warm
    7000
    """
    paper = PRESETS["paper"]
    shape = paper if scale >= _PAPER_SHAPE_FROM else PRESETS["tiny"]
    sizes = {
        name: max(least, round(scale * getattr(paper, name))) for name, least in _LEAST.items()
    }
    return replace(shape, **sizes)


class Data:
    """A world at a scale, and what the flow makes of it.

    Parameters
    ----------
    engine : Engine
        Makes and holds the matrices.
    scale : float
        1 for the paper's sizes.
    seed : int
    tafeng : bool
        The Ta-Feng grocery logs instead of a world, at their one size.
    directory : Path, optional
        Holds the world, as ``gpu-coldstart data synthetic`` wrote it, so that it need not be made.
    """

    def __init__(
        self,
        engine: Engine,
        scale: float,
        seed: int,
        *,
        tafeng: bool = False,
        directory: Path | None = None,
    ):
        self.engine = engine
        self.world = world_of(scale)
        self.seed = seed
        self._dataset = "tafeng" if tafeng else "synthetic"
        self._directory = directory

    @cached_property
    def config(self) -> Config:
        """The paper's hyper-parameters."""
        return resolve(dataset=self._dataset, preset="paper", settings={"seed": self.seed})

    @cached_property
    def tables(self) -> Source:
        """The tables of the data contract.

        Raises
        ------
        UserError
            When the directory holds a world of another size.
        """
        if self._dataset == "tafeng":
            return tafeng.source()
        if self._directory is None:
            return generate(self.world, self.seed)
        paths = events.source(self._directory)
        read = {name: pq.read_table(path) for name, path in paths.items()}
        world = self.world
        wanted = (world.n_warm + world.n_validation + world.n_test, world.n_tracks)
        found = (len(read["users"]), len(read["tracks"]))
        if found != wanted:
            raise UserError(
                f"{self._directory} holds {found[0]} users and {found[1]} tracks, where this scale "
                f"has {wanted[0]} and {wanted[1]}: name tables of that size, or leave them out"
            )
        return read

    @cached_property
    def logs(self) -> Logs:
        """The indexed logs."""
        config = self.config
        days = config.segments.popularity_days
        loaded = tables.load(self.engine, self.tables)
        return index(self.engine, loaded, config.split, popularity_days=days)[0]

    @cached_property
    def counts(self) -> Csr:
        """In how many playlists two tracks are together [tracks, tracks]."""
        sets, _ = tt_svd.collections(self.engine, self.logs, self.config.tt_svd)
        return tt_svd.cooccurrence(self.engine, sets)

    @cached_property
    def space(self) -> Space:
        """The TT-SVD space, d = 128."""
        return tt_svd.TtSvd.fit(
            self.engine, self.logs, self.config.tt_svd, self.config.seed, lambda *_: None
        )

    @cached_property
    def inputs(self) -> InputVectors:
        """The input vectors in that space."""
        builder = FeatureBuilder.fit(self.engine, self.logs, self.space, self.config.features)
        return InputVectors(self.engine, builder, self.logs.registrations)

    @property
    def segments(self) -> int:
        """Number of segments: 1000 at the paper's size."""
        return max(2, min(1000, self.logs.n_warm // 70))


def host(engine: Engine, matrix: Csr) -> sp.csr_array:
    """A sparse matrix of the engine as SciPy's."""
    data, indices, indptr = map(engine.to_host, (matrix.data, matrix.indices, matrix.indptr))
    return sp.csr_array((data, indices, indptr), shape=matrix.shape)


def points(n: int, dimension: int, seed: int) -> Floats:
    """Unit vectors in a hundred clusters [n, dimension] of float32.

    They stand for embeddings where the cost depends on their number only.
    """
    rng = np.random.default_rng(seed)
    # The centres are the same for every seed, so that queries and items lie among each other.
    centres = np.random.default_rng(0).standard_normal((100, dimension))
    found = centres[rng.integers(len(centres), size=n)] + rng.standard_normal((n, dimension))
    unit: Floats = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit
