# make run     set everything up, start the router on this machine and show what it does
#              PORT=9000 chooses another port, ONCE=1 stops after the tour, settings are taken from the environment
# make test    the one gate: linter, types, every test
# make coverage  run the tests and show which lines they leave out; takes half as long again
# make bench   print what the parts cost
# make evaluate-cache   hits and wrong hits of the semantic cache on DATA=<folder>, to OUT=<file.json>
# make train-verifier   fit the verifier's learned part anew on DATA=<folder>
# make train-classifier fit the learned grader anew on DATA=<folder>
# make evaluate-routing  right and wrong grades, rules and learned, on DATA=<folder>, to OUT=<file.json>
# make layers  build the layers for this machine, as the twin and the tests use them
# make router  write .venv/bin/router, the command; run and test do so, too
# make clean   remove what was built; the virtual environment in .venv stays
# make lock    pin the newest allowed versions, with hashes

ifneq ($(words $(CURDIR)),1)
$(error make cannot work in a folder with a space in its path: move "$(CURDIR)")
endif

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
BUILD := $(CURDIR)/.build
INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
LAYER := --silent LOCAL=1 PYTHON=$(BIN)/python BUILD=$(BUILD)
# The template linter wants an account and a region to look at, but never calls them.
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none $(BIN)/sam

.DEFAULT_GOAL := help
.PHONY: help run test lint types tests coverage bench evaluate-cache train-verifier evaluate-routing train-classifier layers router lock clean

help:
	@sed -n '/^# /!q; s/^# //p' Makefile

run: layers
	@PYTHONPATH=layers/core:. $(BIN)/python -m infra.local --port '$(PORT)' $(if $(ONCE),--once)

test: lint types tests

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(SAM) validate --lint

types: $(VENV)/.installed
	$(BIN)/mypy

tests: layers
	$(BIN)/pytest --numprocesses=2 --dist=loadfile

coverage: layers
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --cov --cov-report=term

bench: layers
	@PYTHONPATH=functions:layers/core:. $(BIN)/python -m tests.benchmarks

evaluate-cache: layers
	@PYTHONPATH=layers/core:. $(BIN)/python -m tests.evaluation.evaluate_cache --data '$(DATA)' --out '$(OUT)' $(if $(PLOT),--plot '$(PLOT)')

train-verifier: layers
	@PYTHONPATH=layers/core:. $(BIN)/python -m tests.evaluation.train_verifier --data '$(DATA)'

evaluate-routing: layers
	@PYTHONPATH=layers/core:. $(BIN)/python -m tests.evaluation.evaluate_routing --data '$(DATA)' --out '$(OUT)' $(if $(PLOT),--plot '$(PLOT)')

train-classifier: layers
	@PYTHONPATH=layers/core:. OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.evaluation.train_classifier --data '$(DATA)'

layers: $(VENV)/.installed router
	@$(MAKE) $(LAYER) -C layers/deps build-DepsLayer ARTIFACTS_DIR=$(BUILD)/layers/DepsLayer
	@$(MAKE) $(LAYER) -C layers/dashboard build-DashboardLayer ARTIFACTS_DIR=$(BUILD)/layers/DashboardLayer
	@$(MAKE) $(LAYER) -C layers/embedding build-EmbeddingLayer ARTIFACTS_DIR=$(BUILD)/layers/EmbeddingLayer

$(VENV)/.installed: tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with PYTHON=")'
	@echo "creating .venv and installing about 180 pinned packages into it, 1 GB; this takes a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python $(INSTALL) --requirement $<
	@touch $@

# The command is not installed as a package, which would need a build backend: -P keeps the caller's folder out of its imports.
router: $(VENV)/bin/router

$(VENV)/bin/router: $(VENV)/.installed Makefile
	@printf '%s\n' '#!/bin/sh' 'PYTHONPATH="$(CURDIR)" exec "$(BIN)/python" -P -m infra.cli "$$@"' >$@
	@chmod +x $@

# uv resolves for every platform at once; it is needed here only.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) --upgrade --group dev --output-file tests/requirements.txt
	$(LOCK) --constraints tests/requirements.txt layers/deps/requirements.in --output-file layers/deps/requirements.txt
	$(LOCK) --constraints tests/requirements.txt --no-deps layers/embedding/requirements.in --output-file layers/embedding/requirements.txt

clean:
	rm -rf .build .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
