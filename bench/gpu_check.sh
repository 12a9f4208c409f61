#!/usr/bin/env bash
# What anyone with an NVIDIA GPU runs to check the CUDA engine on it; --help tells.
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
if [[ -z ${PYTHON:-}${VIRTUAL_ENV:-} && -x .venv-cuda/bin/python ]]; then
    python=.venv-cuda/bin/python
fi
exec "$python" -m bench.gpu_check "$@"
