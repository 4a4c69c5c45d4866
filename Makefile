# Two commands are all that a fresh machine needs: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
BIN = $(VENV)/bin
PINS ?=
PYTEST ?=
# More for the expression that selects tests, such as "and not server".
AND ?=
# Empty: without the tests in a browser, which need a run of their own (setup.cfg, coverage).
BROWSER ?= browser
BENCH ?=

EXTRAS := test
ifneq (,$(findstring postgres,$(DATABASE_URL)))
EXTRAS := $(EXTRAS),postgres
endif
ifneq (,$(findstring mysql,$(DATABASE_URL)))
EXTRAS := $(EXTRAS),mysql
endif
ifneq (,$(REDIS_URL))
EXTRAS := $(EXTRAS),redis
endif

RUN = COVERAGE_FILE=.coverage.$(EXTRAS) $(BIN)/python -m pytest

.PHONY: demo test bench lint screenshots clean

demo: $(VENV)/installed-demo
	PORT=$(PORT) $(BIN)/python manage.py demo

test: $(VENV)/installed-$(EXTRAS)
	$(RUN) -m "not browser $(AND)" $(PYTEST)
ifneq (,$(BROWSER))
	COVERAGE_CONCURRENCY=thread,greenlet $(RUN) --cov-append -m "$(BROWSER) $(AND)" $(PYTEST)
endif

bench: $(VENV)/installed-$(subst test,bench,$(EXTRAS))
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(VENV)/installed-test,lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

screenshots: $(VENV)/installed-test
	SCREENSHOT_DIR=docs/images $(BIN)/python -m pytest --no-cov -m browser -k documentation

clean:
	rm -rf $(VENV) demo.sqlite3 .coverage .mypy_cache .pytest_cache .ruff_cache

# A new environment where there is none, and a new installation where setup.cfg has changed.
$(VENV)/installed-%: setup.cfg
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[$*]" $(PINS)
	touch $@
