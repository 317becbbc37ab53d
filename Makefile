# `make demo` and `make test` each work after a clone: they make a virtual environment and install what they need.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
CODE = src tests examples benchmarks

.PHONY: demo test test-fast lint format clean

demo: $(VENV)/.demo
	$(RUN)/bravaismap demo

test: $(VENV)/.dev lint
	$(RUN)/python -m pytest -n 2

test-fast: $(VENV)/.dev
	$(RUN)/python -m pytest -n 2 -m "not slow"

lint: $(VENV)/.dev
	$(RUN)/ruff check $(CODE)
	$(RUN)/ruff format --check $(CODE)
	$(RUN)/mypy

format: $(VENV)/.dev
	$(RUN)/ruff check --fix $(CODE)
	$(RUN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) bravaismap-demo dist build

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bravaismap needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)/python -m pip install --quiet -c constraints.txt -e ".[video]"
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
