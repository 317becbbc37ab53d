# `make demo` and `make test` each work after a clone: they make a virtual environment and install what they need.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
CODE = src tests examples benchmarks docs
# Where else pip looks for PyTorch: the address of its CPU wheels (pytorch.org/get-started), which save several GB on Linux.
TORCH_INDEX ?=
PIP_INSTALL = $(RUN)/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# Two processes; tests that share something slow to make are marked as a group, and go to one of them.
PARALLEL = -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format docs clean

help: ## Show these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Install the package and map a simulated movie, from image to growth law
	$(RUN)/bravaismap demo

test: $(VENV)/.dev lint ## Install the development tools, lint, type-check and run every test
	$(RUN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/.dev ## Run the tests that take less than a few seconds each
	$(RUN)/python -m pytest $(PARALLEL) -m "not slow"

lint: $(VENV)/.dev ## Check style and types
	$(RUN)/ruff check $(CODE)
	$(RUN)/ruff format --check $(CODE)
	$(RUN)/mypy

format: $(VENV)/.dev ## Format the code and apply the fixes that are safe
	$(RUN)/ruff check --fix $(CODE)
	$(RUN)/ruff format $(CODE)

docs: $(VENV)/.dev ## Build the documentation in docs/_build/html, with every figure drawn anew; needs no network
	$(RUN)/python -m sphinx -W --keep-going -n -b html docs docs/_build/html

clean: ## Remove the virtual environment and everything that the other targets made
	rm -rf $(VENV) bravaismap-demo dist build docs/_build docs/made

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bravaismap needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e ".[video]"
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e ".[dev]"
	touch $@
