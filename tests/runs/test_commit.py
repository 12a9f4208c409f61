"""The commit that a report names is that of the checkout it was made from, if any."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gpu_coldstart.runs.environment import commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no Git")


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(place), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    assert commit(tmp_path) == ""  # nothing is committed yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message=One")
    git(tmp_path, "tag", "--annotate", "v1", "--message=One")
    assert commit(tmp_path) == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == f"{git(tmp_path, 'rev-parse', 'HEAD')}-dirty"
    inside = tmp_path / "environment"
    inside.mkdir()
    assert commit(inside) == ""
    monkeypatch.setenv("PATH", str(inside))
    assert commit(tmp_path) == ""
