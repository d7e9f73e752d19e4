PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What "make experiments" trains, where its images lie, and more words for "colorize train". It goes on
# where it stopped, and trains anew what was trained otherwise than it would be now.
SCALE ?= small
DATA ?=
FRUIT ?=
WOOF ?=
PHOTOS ?=
DOGS ?= $(if $(filter small,$(SCALE)),$(DATA))
PRECISION ?= float32
ARGS ?=

.PHONY: help install notebook experiments test lowest lint types

help:
	@echo "make notebook   run colorization.ipynb (no data set, internet or GPU needed)"
	@echo "make experiments SCALE=small DATA=tiny-imagenet-200.zip FRUIT=NCD.zip"
	@echo "                train and test what is missing of both studies; more dogs with WOOF=DATA/imagewoof"
	@echo "make test       run the test suite"
	@echo "make lowest     run the tests that older dependencies failed, with the oldest that we allow"
	@echo "make lint types check the style and the types"

install: $(STAMP)

# A half-made environment has no stamp, so an interrupted installation is repeated.
$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

notebook: $(STAMP)
	$(BIN)/python -m colorize notebook --scale small

TRAIN = $(BIN)/python -m colorize train --scale $(SCALE) --precision $(PRECISION) --resume --stale $(ARGS)

# What cannot be trained here (a prior that was not fetched) is named, and does not stop the rest. At
# quick scale there are neither folds of fruit nor dogs. The final nets are tested beside the longer ones.
experiments: $(STAMP)
	status=0; \
	$(TRAIN) simplified study-a-variants study-a $(if $(DATA),--data "$(DATA)") || status=$$?; \
	$(TRAIN) study-a-repeated --seed 1 2 $(if $(DATA),--data "$(DATA)") || status=$$?; \
	$(if $(filter quick,$(SCALE)),$(TRAIN) ncd || status=$$?;, \
	$(TRAIN) fruit --seed 0 1 2 3 4 $(if $(FRUIT),--data "$(FRUIT)") || status=$$?; \
	$(TRAIN) dogs --seed 0 1 2 $(if $(DOGS),--data "$(DOGS)") || status=$$?;) \
	$(if $(WOOF),$(TRAIN) woof --seed 0 1 2 --data "$(WOOF)" || status=$$?;) \
	$(if $(PHOTOS),$(TRAIN) photo-losses --seed 0 1 --data $(PHOTOS) || status=$$?;) \
	exit $$status

# Two processes: most tests use one core, and the slow ones wait for processes of their own.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# All but torch, whose old builds take gigabytes. On Python 3.13 numpy 1.26 has no wheel.
lowest: $(STAMP)
	rm -rf $(VENV)/lowest && mkdir $(VENV)/lowest
	grep -Ev '^(#|torch(vision)?>)' requirements.txt | sed 's/>=/==/' > $(VENV)/lowest/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --only-binary :all: \
		--target $(VENV)/lowest --requirement $(VENV)/lowest/requirements.txt
	PYTHONPATH=$(abspath $(VENV))/lowest $(BIN)/python -m pytest tests/photo/test_hints.py \
		tests/data/test_decode.py tests/models/test_unet.py tests/experiments/test_run.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy
