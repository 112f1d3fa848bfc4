# make demo   set-up, then the main job: codesign sweep on the 3 nm card
# make cluster-demo  the same job on a Dask scheduler and two workers, started on this machine and ended afterwards
# make test   set-up, then the test suite, in WORKERS=2 processes
# make test-all  the same with the statistical and the kill tests at full size (minutes more), and all cases of the fuzzers
# make fuzz   set-up, then all cases of the fuzzers (the test suite runs a quick share)
# make lint   set-up, then ruff and mypy --strict
# make studies  set-up, then every study, and docs/reproduction.md, beyond.md and physics.md made from them (resumable)
# make bench  set-up, then the side-by-side timings in benchmarks/, and docs/performance.md made from them
# make bench-peers  the last of these alone: other tools beside ours, in an environment of its own

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo cluster-demo test test-all fuzz lint bench bench-peers studies clean
.DELETE_ON_ERROR:

$(VENV)/made: 
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/made
	$(PIP) install --quiet --constraint constraints.txt --editable .
	$(BIN)/codesign frontier --device 3nm --budget 3% --method tac --max-trials 10 --workers 1 --out $(VENV)/first-run >$(VENV)/first-run.log 2>&1  # compiles the kernels
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

$(VENV)/installed-dask: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dask]"
	touch $@

$(VENV)/installed-lint: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test,bench]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/codesign sweep --device devices/3nm.yaml

cluster-demo: $(VENV)/installed-dask
	$(BIN)/python -m benchmarks.cluster_demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(SHARED)

test-all: $(VENV)/installed-test
	$(BIN)/python -m pytest $(SHARED) --full
	$(MAKE) fuzz

fuzz: $(VENV)/installed-test
	$(BIN)/python -m tests.fuzz --full

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks
	$(MAKE) bench-peers

$(PEERS)/installed: pyproject.toml constraints.txt benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable .
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement benchmarks/peers/requirements.txt
	touch $@

bench-peers: $(PEERS)/installed
	$(PEERS)/bin/python -m benchmarks peers

studies: $(VENV)/installed
	$(BIN)/python studies/reproduction.py
	$(BIN)/python studies/beyond.py
	$(BIN)/python studies/physics.py

clean:
	rm -rf $(VENV) $(PEERS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
