# make demo        segment the test sections with the shipped model
# make test        style checks and the whole test suite
# make unit        style checks and the tests of single modules
# make test-nnunet the tests of nnU-Net alone, with PyTorch, which they install
# make test-peer   the tests of the bench beside torchvision, which they install (6 GB)
# make notebooks   run the notebooks again, with their figures
# make bench       time detection, training and input beside torchvision (hours); PEER names a
#                  Python that has it, or it is installed in .venv-peer
# Each builds what it needs in .venv first; that needs Python 3.11 or newer and a network.

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for p in python3.11 python3; do $$p -c "" 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
## Presses Ctrl-C, which workers that run beside each other did not survive.
INTERRUPTED := tests/mrcnn/training/test_interruption.py
PEER_VENV := .venv-peer
PEER := $(PEER_VENV)/bin/python
## Of a Python that is given nothing is built.
PEER_BUILT := $(if $(filter $(PEER_VENV)/%,$(PEER)),$(PEER_VENV)/.installed)

export KERAS_BACKEND := tensorflow
export MPLBACKEND := Agg
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test unit test-nnunet test-peer notebooks bench lint format venv clean

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/.installed
	$(BIN)/python -m sebre demo

## A worker that is done takes tests from the end of what another has yet to do.
test: lint
	OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
	    $(BIN)/python -W error -m pytest -n $(WORKERS) --dist worksteal $(PYTEST) \
	    --ignore $(INTERRUPTED)
	$(BIN)/python -W error -m pytest $(INTERRUPTED)

unit:
	$(MAKE) test PYTEST="-m 'not integration'"

test-nnunet: $(VENV)/.installed-nnunet
	SEBRE_REQUIRE_NNUNET=1 \
	    $(BIN)/python -W error -m pytest tests/sebre/networks/rivals/test_nnunet.py

test-peer: $(VENV)/.installed-dev $(PEER_BUILT)
	SEBRE_PEER_PYTHON=$(PEER) $(BIN)/python -W error -m pytest tests/sebre/bench/test_peer.py

notebooks: $(VENV)/.installed-dev
	$(BIN)/python -W error notebooks/build.py

bench: $(VENV)/.installed-dev $(PEER_BUILT)
	$(BIN)/python -m sebre.bench --long --out results/bench/bench.json \
	    --baseline results/bench/baseline.json --peer-python $(PEER) $(BENCH)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt requirements-imgaug.txt setup.py
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11."; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	    { echo "$(PYTHON) is older than Python 3.11. Install Python 3.11."; exit 1; }
	@echo "Installing into $(VENV) (once, a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-imgaug.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	$(BIN)/python -m mrcnn.compat.imgaug_hook
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt -c requirements.txt
	touch $@

$(VENV)/.installed-nnunet: $(VENV)/.installed-dev requirements-nnunet.txt
	$(BIN)/python -m pip install --quiet -r requirements-nnunet.txt -c requirements.txt
	touch $@

$(PEER_VENV)/.installed: requirements-peer.txt
	$(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip install --quiet -r requirements-peer.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEER_VENV) build *.egg-info .pytest_cache .ruff_cache results/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
