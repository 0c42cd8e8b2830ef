PYTHON ?= python3.11
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date

.DEFAULT_GOAL := help
.PHONY: help setup demo check test test-1.20 test-label-studio-ml format train

help: ## Say what can be made
	@grep -hE '^[a-z0-9.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

setup: $(STAMP) ## Make .venv with everything, by constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; install Python 3.11 or say make PYTHON=/path/to/python3.11"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || { echo "Making the virtual environment $(VENV) ..."; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "Installing packages (a few minutes the first time) ..."
	@$(BIN)/python -m pip install $$([ -t 2 ] || echo --quiet) --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[dev]' 2>&1 \
	  | awk '/^ERROR|error:/ { print } /^Collecting/ { printf "\r  package %d: %s\033[K", ++n, $$2; fflush() } \
	         /^Installing collected/ { printf "\r  unpacking %d packages ...\033[K\n", n; fflush() }'
	@touch $(STAMP)

demo: setup ## Label Studio with 240 pre-judged tasks, ready to review in the browser
	@$(BIN)/vlm-judge demo

check: setup ## Format, lint, types and the import law
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy backend exporters tests examples
	$(BIN)/lint-imports

WORKERS ?= 2

test: setup browser postgres ## All tests, against a real Label Studio, a real browser and a real PostgreSQL
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

FIND_CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

.PHONY: browser
browser:
	@test -z "$$CHROMIUM" || command -v "$$CHROMIUM" >/dev/null \
	  || { echo "CHROMIUM is $$CHROMIUM, which is not there or cannot be run"; exit 1; }
	@test -n "$$CHROMIUM" || $(FIND_CHROMIUM) || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Chromium for the browser tests ..." \
	    && apt-get update -qq && apt-get install -y -qq chromium >/dev/null && $(FIND_CHROMIUM); } \
	  || { echo "The browser tests need Chromium: install it, or set CHROMIUM to where it is"; exit 1; }

FIND_POSTGRES := { ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; } >/dev/null 2>&1

.PHONY: postgres
postgres:
	@$(FIND_POSTGRES) || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing PostgreSQL for the tests of shared stores ..." \
	    && apt-get update -qq && apt-get install -y -qq postgresql >/dev/null && $(FIND_POSTGRES); } \
	  || { echo "The tests of shared stores need PostgreSQL: install its server"; exit 1; }

OLD := .venv-label-studio-1.20

test-1.20: setup ## The whole road against Label Studio 1.20.0, in an environment of its own
	@test -x $(OLD)/bin/label-studio || { echo "Installing Label Studio 1.20.0 ..."; \
	  $(PYTHON) -m venv $(OLD) && $(OLD)/bin/python -m pip install --quiet --disable-pip-version-check label-studio==1.20.0; }
	LABEL_STUDIO_EXECUTABLE=$(OLD)/bin/label-studio $(BIN)/pytest tests/integration/test_road.py tests/integration/test_never_lose.py

test-label-studio-ml: setup ## The judge hosted by the released label-studio-ml 1.0.9, put into pytest's cache the first time
	$(BIN)/pytest tests/contract/test_label_studio_ml.py

AUDIT := .venv-audit

.PHONY: audit
audit: ## Known vulnerabilities in the pinned packages, looked up on the network; fails where one cannot be
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) \
	  && $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	$(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement constraints.txt

export NO_MKDOCS_2_WARNING := 1

.PHONY: docs docs-serve
docs: setup ## The documentation as a site, in site/
	$(BIN)/mkdocs build --strict
	@echo "The site is in site/; open site/index.html, or see it with its search: make docs-serve"

docs-serve: setup ## The same at http://127.0.0.1:8000, built anew with every change
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

.PHONY: screenshots
screenshots: setup browser ## The pictures of the documentation anew, by the browser tests that take them
	SCREENSHOTS=1 $(BIN)/pytest tests/browser

MINUTES ?= 20

.PHONY: soak
soak: setup ## The long fault test, with a report at its end; about 20 minutes, or make soak MINUTES=60
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

.PHONY: bench
bench: setup ## How fast it is on this machine, without a GPU, kept in docs/bench; most of an hour
	$(BIN)/vlm-judge bench --rounds 5 --out docs/bench/engine-cpu.json
	$(BIN)/python -m tests.bench --out docs/bench

.PHONY: simulate
simulate: setup ## Whether certificates keep their promise, on 10,000 simulated projects; about two minutes
	$(BIN)/python -m tests.simulate --out docs/simulation.json

format: setup ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

train: setup ## Train the embedded judge anew
	$(BIN)/python -m backend.engines.demo.train
