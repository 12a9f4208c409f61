"""The state of a network or a space in training, saved to disk from time to time."""

from __future__ import annotations

import json
import time
from pathlib import Path

from safetensors.torch import load, save

from gpu_coldstart.models import TrainingState
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs.artifacts import guarded, write_atomically

__all__ = ["FileCheckpoint"]


class FileCheckpoint:
    """A checkpoint in one safetensors file.

    Parameters
    ----------
    path : Path
    key : str
        The stage's key. A state saved under another key is useless, and is removed.
    """

    SECONDS = 10.0
    """Seconds between two saves; the state of the paper's largest network is about 40 MB."""

    def __init__(self, path: Path, key: str):
        self.path = path
        self._key = key
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last save was long enough ago."""
        return time.monotonic() - self._last >= self.SECONDS

    def load(self) -> TrainingState | None:
        """The last state saved under the same key, or None.

        Raises
        ------
        UserError
            When the file is damaged.
        """
        if not self.path.exists():
            return None
        with guarded(self.path, "delete it, and training begins with the first epoch again"):
            content = read_bytes(self.path)
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + length])["__metadata__"]
            values = json.loads(metadata["values"])
            fits = metadata["key"] == self._key
        if not fits:
            self.path.unlink()
            return None
        return TrainingState({name: tensor.clone() for name, tensor in tensors.items()}, values)

    def save(self, state: TrainingState) -> None:
        """Write the state, replacing the previous one.

        Raises
        ------
        UserError
            When the disk is full or the place cannot be written.
        """
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in state.tensors.items()
        }
        metadata = {"key": self._key, "values": json.dumps(state.values)}
        write_atomically(self.path, save(tensors, metadata))
        self._last = time.monotonic()
