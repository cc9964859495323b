# Everything runs in .venv, which is made from pyproject.toml alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-deep check bench docs clean

$(VENV)/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

run: $(VENV)/.made   ## a sample library, scanned and deployed, in the terminal interface or as tables
	$(BIN)/modelhub demo demo

test: $(VENV)/.made  ## every test but the deep ones
	$(BIN)/python -m pytest -m "not deep" -n auto

test-deep: $(VENV)/.made  ## hundreds of kills
	$(BIN)/python -m pytest -m deep

check: $(VENV)/.made ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.made ## every performance promise, as a ratio
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

docs: $(VENV)/.made  ## the pages that are made from the program itself
	$(BIN)/modelhub doctor --page > docs/troubleshooting.md
	$(BIN)/python docs/pages.py
