# Everything is set up in .venv; `make run` and `make test` need nothing before them but Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check wheel-test format clean

## The main job: the whole flow; options go into ARGS, e.g. make run ARGS="--dataset tafeng"
run: $(VENV)/.run
	$(BIN)/python -m gpu_coldstart.run $(ARGS)

## All checks: style, types, tests with coverage
test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --cov=gpu_coldstart --cov-report=term:skip-covered $(ARGS)

## The wheel, built and run in an empty environment outside the repository
wheel-test:
	bash tests/wheel_test.sh $(PYTHON)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
