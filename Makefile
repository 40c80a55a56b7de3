# make demo: the main job on a made-up collection. make serve: its page. make test: the tests. make docs: the documentation
# as a site. All install into .venv first: the demo and the page the base, the others what development needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo serve test check docs clean

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

.venv/base: pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) .
	touch $@

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) ".[dev]"
	touch .venv/base $@

demo: .venv/base
	$(BIN)/lingula demo demo

serve: .venv/base
	test -f demo/library.sqlite || $(BIN)/lingula demo demo
	$(BIN)/lingula serve --library demo/library.sqlite

test: .venv/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/installed
	$(BIN)/python docs/reference_pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html. With its search: python3 -m http.server --directory build/site"

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache
