"""The Makefile's set-up, as far as it goes without installing anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAKE = """#!/bin/sh
if [ "$1" = -m ]; then
  mkdir -p "$3/bin" && printf '#!/bin/sh\nexit {pip}\n' > "$3/bin/python"
  chmod +x "$3/bin/python"
  exit {venv}
fi
exec {python} -c 'import sys; sys.version_info = ({version}, 0); exec(sys.argv[2])' "$@"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("version", "venv", "pip", "sound"),
    [
        ("3, 10", 0, 0, False),
        ("2, 7", 0, 0, False),
        ("3, 11", 0, 0, True),
        ("3, 13", 1, 0, False),
        ("3, 13", 0, 1, False),
    ],
)
def test_no_broken_environment_stays(
    tmp_path: Path, version: str, venv: int, pip: int, sound: bool
) -> None:
    python, place = tmp_path / "python", tmp_path / "env"
    python.write_text(FAKE.format(venv=venv, pip=pip, python=sys.executable, version=version))
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", ROOT, f"VENV={place}", f"PYTHON={python}", f"{place}/bin/python"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == sound == place.exists()
    if not sound and not venv and not pip:
        old = version.replace(", ", ".")
        assert f"Python 3.11 or newer is needed, and this is {old}: give another" in done.stderr
