# `make train` runs the main job, `make test` the tests that are quick, `make test-all` those that
# train as well; each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: train test test-all lint types docs bench clean

$(VENV)/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

train: $(VENV)/installed
	$(BIN)/python train_keras.py

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow and not long" -n 2 --dist loadfile

# What CI runs on both stacks: also trainings, notebooks and programs that tests start.
test-all: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/installed
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

# make bench DATA=folder: the folder of a pair, for the registration beside other software.
bench: $(VENV)/installed
	-$(BIN)/python -m pip install --quiet itk-elastix picsl-greedy
	$(BIN)/python benchmarks/run.py $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) build dist *.egg-info
