# Everything that is done to this project. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv pip
export PYTHONPATH := .:gen

SOURCES := protocol key_files tlog services vehicle conformance mesh gateway doorctl issuer phones bench tools packages/python/src/ecarus_doors
BOOTSTRAPPED := $(VENV)/.bootstrapped
RUN_READY := $(VENV)/.run-ready
TEST_READY := $(VENV)/.test-ready
COMPILED := $(VENV)/.compiled
DOCS := $(VENV)/docs
DOCS_READY := $(DOCS)/.ready

# Compiled code is kept beside the environment, also where the shell says to keep none: without, each start compiles for seconds.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/$(VENV)/pycache $(BIN)/pytest
WORKERS ?= auto
TOGETHER := -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m "not alone"

.DEFAULT_GOAL := help
.PHONY: help setup tools run token docs test test-unit test-contract test-store test-messaging test-protocol test-system test-attacks test-schema \
	conformance-mutants fuzz audit-tampering packages check generate generate-typescript generate-check baseline bench bench-sockets bench-compare load pin

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-20s %s\n", $$1, $$2}'

$(BOOTSTRAPPED): requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# Where the test environment is installed it holds all that running needs: add to it, remove nothing.
$(RUN_READY): requirements/run.txt | $(BOOTSTRAPPED)
	@if [ -x $(BIN)/pytest ]; then $(UV) install --quiet --require-hashes -r $<; \
		else $(UV) sync --quiet --require-hashes $<; fi
	@touch $@

$(TEST_READY): requirements/test.txt | $(BOOTSTRAPPED)
	$(UV) sync --quiet --require-hashes $<
	@touch $@ $(RUN_READY)

# An environment of its own: nothing of what runs is imported there, and nothing that runs needs it.
$(DOCS_READY): requirements/docs.txt | $(BOOTSTRAPPED)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DOCS)
	@VIRTUAL_ENV=$(DOCS) $(BIN)/uv pip sync --quiet --require-hashes $<
	@touch $@

setup: $(RUN_READY) ## make the virtual environment with what running needs
	@:

tools: $(TEST_READY) $(DOCS_READY) ## the same with what developing needs: buf, protoc, pytest
	@:

docs: $(RUN_READY) $(DOCS_READY) ## build the documentation as a site, .docs/site: no link or anchor that leads nowhere, no page that is in no table
	@$(BIN)/python -m tools.docs_site --mkdocs $(DOCS)/bin/mkdocs

# Doors are opened without documentation, too.
run: $(RUN_READY) ## start everything and keep it running until Ctrl-C
	@$(MAKE) --no-print-directory docs || echo "make: going on without the documentation at /portal/docs/"
	@exec $(BIN)/python -m mesh run

token: $(RUN_READY) ## print a user's access token: make token USER=user-123 [ACT=agent-7] [CASE=...] [VIN=...] [CLIENT=web] [MFA=0] [AGE=seconds] [JKT=thumbprint] [SCOPE=...]
	@$(if $(and $(filter command line,$(origin USER)),$(strip $(USER))),,$(error say whose: make token USER=user-123))
	@$(BIN)/python -m mesh token --user "$(USER)" $(if $(ACT),--act "$(ACT)") $(if $(VIN),--vin "$(VIN)") $(if $(CASE),--case "$(CASE)") $(if $(CLIENT),--client "$(CLIENT)") $(if $(MFA),--mfa "$(MFA)") $(if $(AGE),--age "$(AGE)") $(if $(JKT),--jkt "$(JKT)") $(if $(SCOPE),--scope "$(SCOPE)")

# What fails is played once more by itself, with nothing beside it: only a failure there is one. More than these are no accident.
ACCIDENTS := 10
# $(call played,NAME,FIRST,AGAIN): of what ran first it is known by a cache of its own what failed, whatever earlier runs left.
played = rm -rf $(VENV)/played-$(1); \
	$(PYTEST) -o cache_dir=$(VENV)/played-$(1) $(2) || { \
		ended=$$?; \
		failed=$$(grep -c '": true' $(VENV)/played-$(1)/v/cache/lastfailed); \
		echo "make: $${failed:-0} tests failed; up to $(ACCIDENTS) are played once more by themselves"; \
		[ $$ended -eq 1 ] && [ "$${failed:-0}" -gt 0 ] && [ "$$failed" -le $(ACCIDENTS) ] && \
			$(PYTEST) -o cache_dir=$(VENV)/played-$(1) --last-failed $(3); \
	} || status=1

# Once in an environment, and by two: else each of the workers of the first run compiles everything for itself.
$(COMPILED): $(TEST_READY)
	@ls -d tests/*/ | xargs -P 2 -n 4 env $(PYTEST) -p no:cacheprovider --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

# Side by side, and then what must have the machine for itself. Both are run, and either failure is one.
test: $(TEST_READY) $(COMPILED) docs ## all tests, several at a time: make test [WORKERS=8] [COVERAGE=1: with that of the fast ones, and its floor]
	@status=0; \
	$(call played,together,$(TOGETHER) $(if $(COVERAGE),--cov --cov-report=),-m "not alone"); \
	$(call played,alone,-m alone,-m alone); \
	$(if $(COVERAGE),$(BIN)/coverage report --skip-covered --show-missing >$(VENV)/coverage.txt || status=$$?; tail -n 1 $(VENV)/coverage.txt;) \
	exit $$status

test-unit: $(TEST_READY) ## rules and parts, in milliseconds
	$(PYTEST) tests/unit

test-contract: $(TEST_READY) ## every RPC, the JSON of the specification, the error table
	$(PYTEST) tests/contract

test-store: $(TEST_READY) ## databases: SQLite and a real PostgreSQL
	$(PYTEST) tests/store

test-messaging: $(TEST_READY) ## with a real NATS
	$(PYTEST) $(TOGETHER) tests/messaging
	$(PYTEST) -m alone tests/messaging

test-protocol: $(TEST_READY) ## the vehicle protocol
	$(PYTEST) tests/protocol

test-system: $(TEST_READY) ## through Envoy: the edge alone, then everything
	$(PYTEST) $(TOGETHER) tests/system
	$(PYTEST) -m alone tests/system

test-attacks: $(TEST_READY) ## what a hostile car, user, service or stranger does, on the whole mesh (docs/threat-model.md)
	$(PYTEST) tests/attacks

test-schema: $(TEST_READY) ## everything that the OpenAPI document has, asked for at random: make test-schema [EXAMPLES=100] [SEED=1]
	SCHEMA_EXAMPLES=$(or $(EXAMPLES),100) SCHEMA_SEED=$(or $(SEED),1) $(PYTEST) --timeout=3600 tests/system/test_openapi_operations.py

conformance-mutants: $(TEST_READY) ## units with one planted fault each, which the conformance kit must find out: [NAME="..."]
	$(BIN)/python -m tests.mutants.play $(NAME)

audit-tampering: $(TEST_READY) ## tamper 10,000 times with copies of an audit log and its tables, all of which must be found: [COUNT=...] [SEED=...]
	AUDIT_TAMPERINGS=$(or $(COUNT),8889) AUDIT_TAMPERINGS_SEED=$(or $(SEED),1) $(PYTEST) --timeout=3600 -k random_tampering tests/unit/doorctl/test_audit.py

fuzz: $(TEST_READY) ## a million mutants of good messages, of which none may be believed: make fuzz [COUNT=...] [SEED=...]
	$(BIN)/python tools/fuzz_envelopes.py $(or $(COUNT),1000000) $(or $(SEED),1)

packages: $(TEST_READY) ## build what integrators install into out/packages/: make packages [NAME="ecarus-doors ..."]
	$(BIN)/python -m tools.packages $(NAME)

check: $(TEST_READY) generate-check docs ## format, lint, types, names, import rules, contract rules, documentation
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy $(SOURCES)
	$(BIN)/python tools/check_names.py
	$(BIN)/python tools/check_parts.py
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code proto
	$(BIN)/buf breaking proto --against proto/baseline.binpb

generate: $(TEST_READY) ## make gen/ from the .proto files, and what else says what they say
	$(BIN)/python -m tools.generate

generate-typescript: $(TEST_READY) ## make the types of packages/typescript from the documents in gen/ (needs node and npm)
	$(BIN)/python -m tools.npm_packages

generate-check: $(TEST_READY) ## fail when that is not what generate makes
	$(BIN)/python -m tools.generate --check

baseline: $(TEST_READY) ## accept today's contract as the one not to break (at a release, on purpose)
	$(BIN)/buf build proto --exclude-source-info -o proto/baseline.binpb

bench: $(TEST_READY) ## measure the running mesh beside the bare limit of this machine
	$(BIN)/python -m bench

bench-sockets: $(TEST_READY) ## measure 2,000 WebSocket clients alone
	$(BIN)/python -m bench sockets

bench-compare: $(TEST_READY) ## CPU of a command and a read here and in another checkout, in turn: make bench-compare TREE=../before [ROUNDS=8]
	$(BIN)/python -m bench.compare $(TREE) $(if $(ROUNDS),--rounds "$(ROUNDS)")

load: $(TEST_READY) ## run the mesh with thousands of simulated cars, and measure: make load [CARS=2000]
	$(BIN)/python -m bench.load_fleet $(if $(CARS),--cars "$(CARS)")

pin: $(BOOTSTRAPPED) ## resolve requirements/*.in anew into hashed requirements/*.txt
	for name in bootstrap run test docs; do UV_CUSTOM_COMPILE_COMMAND="make pin" $(BIN)/uv pip compile --quiet --upgrade \
		--generate-hashes --universal --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done
