#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment and runs it away from the repository.
#   tests/wheel_test.sh [PYTHON]
set -euo pipefail
python=${1:-python3}
repo=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$repo"
"$work/venv/bin/python" -m pip install --quiet --constraint "$repo/constraints.txt" \
    "$(echo "$work"/dist/*.whl)[cpu]"
cd "$work"
"$work/venv/bin/python" -m gpu_coldstart.run --preset tiny --out "$work/run"
"$work/venv/bin/python" - <<'PY'
from importlib.resources import files

package = files("gpu_coldstart")
assert package.joinpath("kernels").is_dir(), "kernels/ is not in the wheel"
assert package.joinpath("py.typed").is_file(), "py.typed is not in the wheel"
PY
echo "wheel: installs and runs"
