#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment and runs it away from the repository, with
# nothing left to compile after `warm-up`.
#   tests/wheel_test.sh PYTHON, which has pip 23.1 or newer
set -euo pipefail
python=$(realpath --no-symlinks "$1")
repo=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv --without-pip "$work/venv"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" "$repo"
"$python" -m pip --python "$work/venv" install --quiet --no-compile --constraint \
    "$repo/constraints.txt" "$(echo "$work"/dist/*.whl)[cpu]"
cd "$work"
compiled() { find "$work/venv" -path '*/gpu_coldstart/*' -name '*.nb?' -printf '%p %i %T@\n' | sort; }
"$work/venv/bin/gpu-coldstart" warm-up --engine cpu > warm-up.log
before=$(compiled)
loops=$(cat "$repo"/gpu_coldstart/engine/cpu/*.py | grep -cE '^@compiled(_strictly)?$')
test "$loops" -gt 5
test "$(grep -c '\.nbc ' <<< "$before")" -eq "$loops" || { echo "warm-up left out a loop" >&2; exit 1; }
"$work/venv/bin/python" -m gpu_coldstart.run --preset tiny --out "$work/run"
diff <(echo "$before") <(compiled) || { echo "warm-up left these loops to the run" >&2; exit 1; }
"$work/venv/bin/python" - <<'PY'
from importlib.resources import files

package = files("gpu_coldstart")
assert package.joinpath("kernels").is_dir(), "kernels/ is not in the wheel"
assert package.joinpath("py.typed").is_file(), "py.typed is not in the wheel"
PY
echo "wheel: installs and runs"
