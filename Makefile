# `make demo` and `make test` each work after a clone: they make a virtual environment and install what they need.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
CODE = src tests examples benchmarks docs

.PHONY: demo test test-fast lint format docs clean

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

# The pages, with everything that their code prints and draws, in docs/_build/html; without a network.
docs: $(VENV)/.dev
	$(RUN)/python -m sphinx -W --keep-going -n -b html docs docs/_build/html

clean:
	rm -rf $(VENV) bravaismap-demo dist build docs/_build docs/made

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bravaismap needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)/python -m pip install --quiet -c constraints.txt -e ".[video]"
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
