# make demo   a raw dataset, its reconstruction and a picture in demo/
# make test   style, types and tests
# make clean  what the two leave behind

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: .venv/demo.stamp
	mkdir -p demo
	$(BIN)/score-gadget simulate demo/raw.h5
	$(BIN)/score-gadget replay demo/raw.h5 -o demo/out.h5 -c pipelines/score_hybrid.xml
	$(BIN)/score-gadget compare demo/out.h5 demo/raw.h5 --png demo/out.png

test: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal

clean:
	rm -rf .venv demo

.venv/python.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	touch $@

# Models and pipelines are found in the checkout: only new dependencies need a new installation.
.venv/%.stamp: pyproject.toml constraints.txt | .venv/python.stamp
	@echo "Installing into .venv: a few minutes, once."
	$(PIP) -e '.[$*]'
	touch $@
