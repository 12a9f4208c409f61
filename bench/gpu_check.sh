#!/usr/bin/env bash
# What anyone with an NVIDIA GPU runs to check the CUDA engine on it; --help tells.
set -uo pipefail

usage() {
    cat <<'TEXT'
usage: bench/gpu_check.sh [--quick] [--skip-tests]

Checks the CUDA engine on this machine's GPU and writes everything into one JSON file:
what the machine is, the tests marked gpu, the whole flow on synthetic tables of the paper's size
with its time and peak GPU memory per stage, the same below 8 GB, and, where compute-sanitizer
is on PATH, the kernels' tests under memcheck and racecheck. A step that fails is written down, and
the next goes on.

  --quick       the tiny preset instead of the paper's: seconds instead of minutes
  --skip-tests  only the flow: no pytest, no compute-sanitizer
  --help        this text

Environment variables; paths are seen from the repository's root:
  PYTHON  interpreter with gpu_coldstart[cuda13,test] or its like installed (default: that of the
          active environment; else .venv-cuda/bin/python, which `make .venv-cuda/.cuda13` sets up,
          where that is; else python3)
  OUT     takes the JSON (default: bench/results)
  WORK    takes tables, runs and logs (default: runs/gpu-check/<date and time>)
  CUDA_VISIBLE_DEVICES  the first it names is the GPU that is looked at (default: 0)

exit status: 0 every step passed, 1 a step failed, 2 nothing was done: no GPU or a wrong option
TEXT
}

refuse() {
    printf 'error: %s\n' "$1" >&2
    exit 2
}

preset=paper
tests=yes
while (($#)); do
    case $1 in
        --quick) preset=tiny ;;
        --skip-tests) tests=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) refuse "option $1 is not known: bench/gpu_check.sh --help lists what is" ;;
    esac
    shift
done

cd "$(dirname "$0")/.." || exit 2
if ! gpus=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null) || [[ -z $gpus ]]; then
    refuse "nvidia-smi finds no NVIDIA GPU here: run this on a machine that has one, with its driver"
fi

python=${PYTHON:-python3}
if [[ -z ${PYTHON:-}${VIRTUAL_ENV:-} && -x .venv-cuda/bin/python ]]; then
    python=.venv-cuda/bin/python
fi
export PYTHONUNBUFFERED=1
stamp=$(date -u +%Y-%m-%dT%H%M%SZ)
out=${OUT:-bench/results}
work=${WORK:-runs/gpu-check/$stamp}
gpu=${CUDA_VISIBLE_DEVICES:-0}
gpu=${gpu%%,*}
mkdir -p "$work" "$out" || refuse "cannot write to $work or $out: set WORK and OUT to other folders"

# step NAME COMMAND...: runs it with its output in a log, and notes status, seconds and command.
step() {
    local name=$1 start status
    shift
    printf '%-24s ' "$name"
    start=$SECONDS
    "$@" >"$work/$name.log" 2>&1
    status=$?
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" "$*" >>"$work/steps.tsv"
    if ((status)); then
        printf 'FAILED (%s), see %s\n' "$status" "$work/$name.log"
    else
        printf 'passed, %s s\n' "$((SECONDS - start))"
    fi
    return "$status"
}

# skip NAME REASON: notes that a step was not run.
skip() {
    printf '%s\tskipped\t0\t%s\n' "$1" "$2" >>"$work/steps.tsv"
    printf '%-24s skipped: %s\n' "$1" "$2"
}

# flow NAME OPTIONS...: a run of the whole flow, with the GPU's memory sampled five times a second.
flow() {
    local name=$1 sampler
    shift
    nvidia-smi --id="$gpu" --query-gpu=memory.used,utilization.gpu \
        --format=csv,noheader,nounits --loop-ms=200 >"$work/$name.memory.csv" 2>/dev/null &
    sampler=$!
    step "$name" "$python" -m gpu_coldstart.run --engine cuda --preset "$preset" \
        --dataset events --data "$work/tables" --out "$work/$name" "$@"
    kill "$sampler" 2>/dev/null
    wait "$sampler" 2>/dev/null
}

step environment "$python" bench/gpu_check.py environment --gpu "$gpu" --to "$work/environment.json"

if [[ $tests == yes ]]; then
    step tests "$python" -m pytest -m gpu --junitxml="$work/tests.xml"
else
    skip tests "--skip-tests"
fi

if step tables "$python" -m gpu_coldstart.cli.main data synthetic --preset "$preset" --out "$work/tables"; then
    flow run
    flow run-below-8GB --memory-budget 8GB
else
    skip run "there are no tables"
    skip run-below-8GB "there are no tables"
fi

# Without PyTorch's cache each array is an allocation of its own, and memcheck sees its ends.
for tool in memcheck racecheck; do
    if [[ $tests == no ]]; then
        skip "$tool" "--skip-tests"
    elif command -v compute-sanitizer >/dev/null; then
        step "$tool" env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
            compute-sanitizer --tool "$tool" --error-exitcode 99 --target-processes all \
            "$python" -m pytest -m gpu --junitxml="$work/$tool.xml" tests/engine
    else
        skip "$tool" "compute-sanitizer is not on PATH"
    fi
done

"$python" bench/gpu_check.py assemble --work "$work" --out "$out" --preset "$preset"
