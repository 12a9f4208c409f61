"""What a data set brings to the flow: users and truth, embedding spaces, input vectors.

Logs bring tables, from which everything is made. The public release of the paper brings spaces and
input vectors ready made, so with it the flow starts at the segments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from gpu_coldstart import features, spaces
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import tables
from gpu_coldstart.data.logs import Logs, index
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError

__all__ = ["Study", "TableStudy"]


class Study(ABC):
    """A data set, as the pipeline asks for it."""

    @abstractmethod
    def logs(self, engine: Engine, config: Config, progress: spaces.Progress) -> Logs:
        """Users, tracks, plays and truth.

        Raises
        ------
        UserError
            For data that cannot be used, or settings that it cannot serve.
        """

    @abstractmethod
    def space(
        self,
        name: str,
        engine: Engine,
        indexed: Logs,
        config: Config,
        progress: spaces.Progress,
    ) -> spaces.Space:
        """The embedding space of that name (3.1.1, 3.1.2)."""

    @abstractmethod
    def inputs(
        self, engine: Engine, indexed: Logs, space: spaces.Space, config: Config
    ) -> features.Inputs:
        """The input vectors in a space (3.2.2)."""


class TableStudy(Study):
    """Tables of the data contract; everything is made from them.

    Parameters
    ----------
    source : callable
        Makes or opens the tables; called only when they are needed.
    """

    def __init__(self, source: Callable[[], tables.Source]):
        self._source = source

    def logs(self, engine: Engine, config: Config, progress: spaces.Progress) -> Logs:
        """Tables, checked and indexed."""
        progress(0, 3, "making or opening the tables")
        source = self._source()
        progress(1, 3, "reading and checking")
        loaded = tables.load(engine, source)
        progress(2, 3, "indexing")
        indexed = index(engine, loaded, config)
        dimension = config.tt_svd.dimension
        if "tt-svd" in config.spaces and dimension > indexed.n_tracks:
            raise UserError(
                f"setting 'tt_svd.dimension' is {dimension}, more than the {indexed.n_tracks} "
                "tracks: set it lower"
            )
        return indexed

    def space(
        self,
        name: str,
        engine: Engine,
        indexed: Logs,
        config: Config,
        progress: spaces.Progress,
    ) -> spaces.Space:
        """Learn the space."""
        return spaces.FITTERS[name](engine, indexed, config, progress)

    def inputs(
        self, engine: Engine, indexed: Logs, space: spaces.Space, config: Config
    ) -> features.Inputs:
        """Assemble input vectors from the registration day's events."""
        return features.InputVectors(engine, indexed, space, config.features)
