# make demo: install and run the main job.  make test: install and run the tests.
PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/.installed

.PHONY: demo test check
demo: $(INSTALLED)
	$(VENV)/bin/python run.py $(ARGS)

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest $(ARGS)

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(INSTALLED): pyproject.toml constraints.txt benchmarks/d3rlpy.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps -c constraints.txt -r benchmarks/d3rlpy.txt
	touch $(INSTALLED)
