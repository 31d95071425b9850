# Everything runs in .venv, made from nothing by whichever goal comes first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One test process more than CPUs, since some tests wait. A file's tests stay in one process, where they
# share what they made. The processes take the files in the order of tests/conftest.py, slow ones first.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test fast lint docs wheel format clean

demo: $(VENV)/.host  ## The whole main job on generated images: train, quantize, build, bench, report.
	$(BIN)/edgessd demo

test: $(VENV)/.dev  ## Every test.
	$(PYTEST)

fast: $(VENV)/.dev  ## The tests that take moments, in a minute and a half.
	$(PYTEST) -m "not slow and not process and not realtime and not device"

lint: $(VENV)/.dev  ## Style, spelling, types and the layer rule.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## The site, in build/site/html; a dead link or a missing anchor fails. Python 3.11 or later.
	$(BIN)/python docs/build_site.py

wheel: $(BIN)/python  ## The wheel, in build/wheel.
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# constraints.txt has the versions that the tests passed with. Other versions of Python get what pyproject.toml
# allows, since many pinned releases don't exist for them.
PINNED_PYTHON := 3.11
CONSTRAINT = $(shell $(BIN)/python -c 'import sys; print("--constraint constraints.txt" \
	if "%d.%d" % sys.version_info[:2] == "$(PINNED_PYTHON)" else "")')

$(VENV)/.host: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(CONSTRAINT) --editable '.[host]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(CONSTRAINT) --editable '.[dev]'
	touch $(VENV)/.host $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
