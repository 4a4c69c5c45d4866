# Two commands are all that a fresh machine needs: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
BIN = $(VENV)/bin
PYTEST ?=
# More for the expression that selects tests, such as "and not server".
AND ?=
# How many processes test side by side: as many as there are cores. 0: this one alone.
JOBS ?= auto
# Not empty: measure coverage, which takes a third longer, into a file with this in its name.
COVERAGE ?=
BENCH ?=
PART ?=

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

RUN = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal
ifneq (,$(COVERAGE))
RUN := COVERAGE_FILE=.coverage.$(EXTRAS).$(COVERAGE) $(RUN) --cov
endif

# What decides, finds and manages, and the REST API over it.
FAST = tests/test_*.py tests/rest
SLOW = browser or commits or node or parallel or process or server

.PHONY: demo docs check-docs test test-fast test-all-but-browser test-browser bench trust lint messages screenshots clean

demo: $(VENV)/installed-demo
	PORT=$(PORT) $(BIN)/python manage.py demo

# The documentation, at http://127.0.0.1:8001, made again at each change.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

# Builds it, fails for a link or an anchor that leads nowhere, and checks the spelling and the types of
# the examples.
check-docs: $(VENV)/installed-docs $(VENV)/installed-test,lint
	$(BIN)/python docs/check_examples.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs frappe_tokens --skip '*.po,*.mo,*.js,*.json,*.svg' --ignore-words-list sie

# In one run, unless coverage is measured: the browser needs a run of its own for that (setup.cfg).
ifeq (,$(COVERAGE))
test: $(VENV)/installed-$(EXTRAS)
	$(RUN) $(PYTEST)
else
test: test-all-but-browser test-browser
endif

# What to run between two edits: no servers and no browser, on SQLite.
test-fast: $(VENV)/installed-test
	DATABASE_URL= REDIS_URL= $(RUN) -m "not ($(SLOW)) $(AND)" $(PYTEST) $(FAST)

test-all-but-browser: $(VENV)/installed-$(EXTRAS)
	$(RUN) -m "not browser $(AND)" $(PYTEST)

test-browser: $(VENV)/installed-$(EXTRAS)
	COVERAGE_CONCURRENCY=thread,greenlet $(subst .coverage.,.coverage.browser.,$(RUN)) -m browser $(PYTEST)

bench: $(VENV)/installed-$(subst test,bench,$(EXTRAS))
	$(BIN)/python -m benchmarks $(BENCH)

trust: $(VENV)/installed-$(subst test,trust,$(EXTRAS))
	$(BIN)/python -m trust $(PART)

lint: $(VENV)/installed-test,lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

# Collects what is to be translated, and compiles the translations. Needs gettext.
messages: $(VENV)/installed-test
	cd frappe_tokens && PYTHONPATH=.. $(abspath $(BIN))/django-admin makemessages --all --no-location --no-wrap
	cd frappe_tokens && PYTHONPATH=.. $(abspath $(BIN))/django-admin compilemessages

screenshots: $(VENV)/installed-test
	SCREENSHOT_DIR=docs/images $(BIN)/python -m pytest -m browser -k documentation

clean:
	rm -rf $(VENV) demo.sqlite3 .coverage .mypy_cache .pytest_cache .ruff_cache

# A new environment where there is none, and a new installation where setup.cfg has changed.
$(VENV)/installed-%: setup.cfg
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[$*]"
	touch $@
