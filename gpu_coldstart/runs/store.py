"""A run directory: the files of finished stages, and the manifest that lists them.

``manifest.json`` names each finished stage, its key, its files and their SHA-256. A file is written
under a temporary name, flushed to the disk and renamed, and only then the manifest, so a run killed
at any point can resume from its last finished stage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import TEMPORARY, guarded, json_bytes, read_json, write_atomically

__all__ = ["Files", "Manifest", "RunDirectory"]

Files = Mapping[str, bytes]
"""From the name of a file, relative to the run directory, to its content."""

_LEFT_BY_A_KILL = frozenset((f"{paths.MANIFEST}{TEMPORARY}", paths.LOCK))
_AGAIN = "run again with --overwrite"


@dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``.

    Attributes
    ----------
    identity : dict
        Engine, threads, configuration and input files of the run.
    keys : dict of stage to str
        Empty in a run of a version that had none.
    stages : dict of stage to dict of file name to SHA-256
        The finished ones.
    stale : tuple of str
        Files of discarded stages, which a kill may have left behind.
    """

    identity: dict[str, Any]
    keys: dict[str, str]
    stages: dict[str, dict[str, str]]
    stale: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> Manifest | None:
        """The manifest of a directory; None where there is none.

        Raises
        ------
        UserError
            When it is damaged.
        """
        path = directory / paths.MANIFEST
        if not path.exists():
            return None
        remedy = f"delete {directory} and run again without --resume, or choose another --out"
        with guarded(path, remedy):
            content = read_json(read_bytes(path), dict)
            return cls(
                _identity(content["identity"]),
                {name: str(key) for name, key in content.get("keys", {}).items()},
                {name: dict(files) for name, files in content["stages"].items()},
                tuple(map(str, content.get("stale", ()))),
            )


def _identity(content: dict[str, Any]) -> dict[str, Any]:
    """The identity, its parts and the files of its data being dicts, as they were written."""
    parts = [content.get(part, {}) for part in ("config", "data", "versions")]
    for node in (content, *parts, *parts[1].values()):
        if not isinstance(node, dict):
            raise TypeError(f"{node!r} is no dict")
    return content


class RunDirectory:
    """A run's files and the manifest of its finished stages.

    Nothing is written before the first stage is done, so a mistake in the input leaves no trace.

    Parameters
    ----------
    path : Path
    identity : dict
        Engine, threads, configuration and input files, for the manifest.
    preamble : dict of file name to content
        Files that belong to the run as a whole, written with the first stage.
    keys : mapping of stage to str
        The key of every stage that this run is to have.
    """

    def __init__(
        self,
        path: Path,
        identity: dict[str, Any],
        preamble: dict[str, bytes],
        keys: Mapping[str, str] | None = None,
    ):
        self.path = path
        self.identity = identity
        self.keys = {"config": _digest(json.dumps(_digests(preamble)).encode()), **(keys or {})}
        self.stages: dict[str, dict[str, str]] = {}
        self._preamble = preamble
        self._earlier: Manifest | None = None
        self._begun = self._shared = False

    # -- opening -------------------------------------------------------------------------------

    def look(self) -> Manifest | None:
        """The manifest of the run that is here; None where there is none.

        Raises
        ------
        UserError
            When the directory holds something that is not a run, or a damaged one.
        """
        if not self.path.exists():
            return None
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory: choose another place with --out")
        there = {entry.name for entry in self.path.iterdir()} - _LEFT_BY_A_KILL
        earlier = Manifest.read(self.path)
        if there and earlier is None:
            raise UserError(
                f"{self.path} is not empty and holds no run: choose another place with --out"
            )
        return earlier

    def replace(self, earlier: Manifest | None) -> None:
        """Start from the beginning; an earlier run is removed once the first stage is done."""
        self._earlier = earlier

    def take_over(self, earlier: Manifest) -> list[str]:
        """Keep the finished stages whose keys are those of this run.

        Returns
        -------
        list of str
            The finished stages that no longer count; they are removed once the first stage is done.

        Raises
        ------
        UserError
            When ``config.toml`` is damaged.
        """
        self._earlier = earlier
        self.stages = self._current(earlier)
        stale = [name for name in earlier.stages if name not in self.stages]
        self.remove_temporaries()
        going_on = {paths.checkpoint(name) for name in self.keys if name not in self.stages}
        self._remove_checkpoints({self.path / name for name in going_on})
        if self.has("config"):
            self.verify("config")
        return stale

    def share(self) -> None:
        """Work beside the process that has opened the run, and alone writes the manifest."""
        manifest = Manifest.read(self.path)
        self.stages = {} if manifest is None else self._current(manifest)
        self._begun = self._shared = True

    def _current(self, manifest: Manifest) -> dict[str, dict[str, str]]:
        """The stages of a manifest whose keys are those of this run."""
        return {
            name: files
            for name, files in manifest.stages.items()
            if name in self.keys and manifest.keys.get(name) == self.keys[name]
        }

    @property
    def complete(self) -> bool:
        """Whether the run is finished: every stage, and the results as they were written."""
        there = all((self.path / name).exists() for name in (paths.RESULTS, paths.REPORT))
        if not there or not all(self.has(name) for name in self.keys):
            return False
        try:
            # No hash vouches for it, as it tells the time; that it can be read is known at least.
            with guarded(self.path / paths.RESULTS, "write it again"):
                read_json(read_bytes(self.path / paths.RESULTS), dict)
            self.verify(paths.RESULTS_STAGE)
            self.verify(paths.REPORT_STAGE)
        except UserError:
            return False  # nothing is read from it, so it is simply rewritten
        return True

    @classmethod
    def finished(cls, path: Path) -> RunDirectory:
        """A finished run, to read from.

        Raises
        ------
        UserError
            When there is no run, or one that was interrupted.
        """
        if not path.is_dir():
            raise UserError(
                f"{path} is not a directory: name the directory that a run was written to"
            )
        manifest = Manifest.read(path)
        if manifest is None:
            raise UserError(
                f"{path} holds no run, as {paths.MANIFEST} is missing: name the directory that a "
                "run was written to"
            )
        run = cls(path, manifest.identity, {}, manifest.keys)
        run.stages = manifest.stages
        if not (run.has(paths.RESULTS_STAGE) and (path / paths.RESULTS).exists()):
            raise UserError(
                f"{path} holds a run that is not finished: give its command again with --resume"
            )
        return run

    def begin(self) -> None:
        """Discard stale files, and write those of the run as a whole, unless that is done."""
        if self._begun:
            return
        self._begun = True
        earlier = self._earlier
        stale: set[str] = set()
        if earlier is not None:
            stale.update(earlier.stale, *earlier.stages.values())
            stale.difference_update(*self.stages.values())
        # The manifest first: from then on a kill leaves a run that can be resumed.
        self._save_manifest(stale)
        self.remove_temporaries()
        for name in stale:
            (self.path / name).unlink(missing_ok=True)
        fresh = not self.stages
        for name in paths.VOLATILE if fresh else (paths.RESULTS, paths.REPORT):
            (self.path / name).unlink(missing_ok=True)
        if fresh:
            self._remove_checkpoints()
        if self.has("config"):
            self._save_manifest()
        else:
            self.write("config", self._preamble)

    def remove_temporaries(self) -> None:
        """Delete what a kill left half-written."""
        for leftover in self.path.rglob(f"*{TEMPORARY}"):
            leftover.unlink()

    def _remove_checkpoints(self, keep: Collection[Path] = ()) -> None:
        """Delete checkpoints of stages that are done or not part of this run."""
        for leftover in self.path.rglob(f"*{paths.CHECKPOINT}"):
            if leftover not in keep:
                leftover.unlink()

    # -- stages --------------------------------------------------------------------------------

    def has(self, stage: str) -> bool:
        """Whether the stage is finished."""
        return stage in self.stages

    def read(self, stage: str) -> dict[str, bytes]:
        """The files of a finished stage, by name.

        Raises
        ------
        UserError
            When a file is missing or its content is not what was written.
        """
        return {name: self._content(stage, name) for name in self.stages[stage]}

    def verify(self, stage: str) -> None:
        """Check every file of a finished stage against the manifest, as :meth:`read` does."""
        for name in self.stages[stage]:
            self._content(stage, name)

    @contextmanager
    def reading(self, stage: str) -> Iterator[Files]:
        """The files of a finished stage, to be decoded inside.

        Raises
        ------
        UserError
            When a file is damaged, or has another shape than this version expects.
        """
        files = self.read(stage)
        with guarded(self.places([stage]) or f"stage {stage} of {self.path}", _AGAIN):
            yield files

    def places(self, stages: Iterable[str]) -> str:
        """Where the files of finished stages are, for a sentence."""
        return " or ".join(str(self.path / name) for stage in stages for name in self.stages[stage])

    def _content(self, stage: str, name: str) -> bytes:
        path = self.path / name
        try:
            content = read_bytes(path)
        except OSError:
            content = b""
        if _digest(content) != self.stages[stage][name]:
            raise UserError(
                f"{path} is damaged or missing (its SHA-256 is not the one in {paths.MANIFEST}): "
                f"{_AGAIN}"
            )
        return content

    def write(self, stage: str, files: Files) -> None:
        """Save a stage's files, then mark the stage as finished."""
        self.begin()
        for name, content in files.items():
            write_atomically(self.path / name, content)
        self.finish(stage, _digests(files))

    def finish(self, stage: str, files: dict[str, str]) -> None:
        """Mark a stage as finished whose files are written, of these SHA-256."""
        self.stages[stage] = files
        if not self._shared:
            self._save_manifest()
            (self.path / paths.checkpoint(stage)).unlink(missing_ok=True)

    def _save_manifest(self, stale: set[str] | None = None) -> None:
        manifest: dict[str, Any] = {
            "identity": self.identity,
            "keys": {name: self.keys[name] for name in self.stages if name in self.keys},
            "stages": self.stages,
        }
        if stale:
            manifest["stale"] = sorted(stale)
        content = json_bytes(manifest, levels=2, sort_keys=True)
        write_atomically(self.path / paths.MANIFEST, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digests(files: Files) -> dict[str, str]:
    return {name: _digest(content) for name, content in files.items()}
