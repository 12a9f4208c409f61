"""The built-in data sets, as :data:`gpu_coldstart.registry.DATASETS` lists them.

Each says in ``needs_data`` what directory its ``data`` must name, or "" where it takes none, and
opens as configured. Nothing is read before it is needed.
"""

from __future__ import annotations

from pathlib import Path

from gpu_coldstart.config import Config
from gpu_coldstart.data.dataset import Dataset

__all__ = ["Deezer", "Events", "Synthetic", "TaFeng"]


class Synthetic:
    """The embedded world."""

    name = "synthetic"
    label = "Synthetic world"
    needs_data = ""

    @staticmethod
    def open(config: Config) -> Dataset:
        """The world of ``config.world`` and ``config.seed``."""
        from gpu_coldstart.datasets.synthetic import generate as synthetic

        return Dataset(
            lambda: synthetic.generate(config.world, config.seed),
            "synthetic",
            parameters=("world", "seed"),
        )


class Events:
    """Somebody's own logs."""

    name = "events"
    label = "Event logs"
    needs_data = "a directory of Parquet tables"

    @staticmethod
    def open(config: Config) -> Dataset:
        """The files in ``config.data``."""
        return Dataset.from_parquet(config.data)


class TaFeng:
    """Grocery logs."""

    name = "tafeng"
    label = "Ta-Feng groceries"
    needs_data = ""

    @staticmethod
    def open(config: Config) -> Dataset:
        """The logs; the configuration has no say in them."""
        from gpu_coldstart.datasets import tafeng

        del config
        return Dataset(tafeng.source, "tafeng", files=tafeng.files)


class Deezer:
    """The public release of the paper's data."""

    name = "deezer"
    label = "Deezer release"
    needs_data = "the directory of the release's files"

    @staticmethod
    def open(config: Config) -> Dataset:
        """The files in ``config.data``."""
        from gpu_coldstart.datasets.deezer.dataset import ReleasedDataset

        return ReleasedDataset(Path(config.data), config.spaces)
