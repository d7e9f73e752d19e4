PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install notebook test lint types

help:
	@echo "make notebook   run colorization.ipynb in its quick setting (no data set, internet or GPU)"
	@echo "make test       run the test suite"
	@echo "make lint types check the style and the types"

install: $(STAMP)

# A half-made environment has no stamp, so an interrupted installation is repeated.
$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

notebook: $(STAMP)
	$(BIN)/python -m colorize notebook --scale quick

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy
