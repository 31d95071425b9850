# Everything runs in .venv, made from nothing by whichever goal comes first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fast lint format clean

demo: $(VENV)/.host  ## The whole main job on generated images: train, quantize, build, bench, report.
	$(BIN)/edgessd demo

test: $(VENV)/.dev  ## Every test.
	$(BIN)/python -m pytest

fast: $(VENV)/.dev  ## The tests that take seconds.
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.dev  ## Style, types and the layer rule.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# constraints.txt names the versions that the tests passed with; pyproject.toml has the honest ranges.
$(VENV)/.host: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[host]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(VENV)/.host $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
