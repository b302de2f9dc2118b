# The desk, the tests and the deployment. `git clean -fdX` removes all that these have made.
# ARGS go to the tool that a target runs: make test ARGS=tests/store, make load ARGS="--run-time 30s".
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
UV := uv==0.13.9
# DynamoDB Local, as its npm package holds it; only the tarball is taken, not its 200 dependencies.
DYNAMODB_LOCAL := amplify-dynamodb-simulator@2.9.30
DYNAMODB_JAR := build/dynamodb-local/package/emulator/DynamoDBLocal.jar

.PHONY: run unit test check format load fuzz audit bench

# Run the desk: the gate and a simulated WeChat, AWS and upstream. AWS_URL=… uses another AWS engine.
run: .venv/simulator.installed
	@exec $(BIN)/python -m simulator --port $(PORT) $(if $(AWS_URL),--aws-url $(AWS_URL))

# Run the tests that need no server and no Node: seconds.
unit: .venv/tests.installed
	@$(BIN)/python -m pytest tests/unit -q -n 2 $(ARGS)

# Run all tests; what ships must be covered completely, lines and branches. With ARGS: these tests alone, without coverage.
test: .venv/tests.installed $(DYNAMODB_JAR)
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist worksteal --cov --cov-report=)
	@$(if $(ARGS),,$(BIN)/coverage report --fail-under=100 --include='chalicelib/*')

# Check style, types and known insecure patterns.
check: .venv/tests.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit -q -r app.py chalicelib
	$(BIN)/bandit -q -ll -r simulator deployment

# Fix style.
format: .venv/tests.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Send ten minutes of mixed traffic of many users to the desk, and check every answer against its user.
load: .venv/tests.installed $(DYNAMODB_JAR)
	@echo "Sending traffic to the desk: the figures follow at the end …"
	@$(BIN)/python -m locust $(ARGS)

# Search for inputs that break a property of the tests, guided by coverage: ARGS="--seconds 3600 path".
fuzz: .venv/tests.installed
	@$(BIN)/python -m tests.fuzz $(ARGS)

# Look for known vulnerabilities in what ships.
audit: .venv/tests.installed
	@$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.txt $(ARGS)

# Run the benchmarks (docs/benchmarks.md).
bench: .venv/tests.installed
	@$(BIN)/python -m benchmarks $(ARGS)

# --- what these need ---

# $(call install,environment,requirements): by uv, or by pip on a machine that has no uv.
pip = -m pip install --quiet --disable-pip-version-check
install = [ -x $(BIN)/uv ] || $(BIN)/python $(pip) $(UV) 2>/dev/null; \
	{ [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(1)/bin/python --require-hashes -r $(2); } \
	|| { echo "uv cannot install it here: trying pip …"; $(1)/bin/python $(pip) --require-hashes -r $(2); }

.venv/%.installed: %/requirements.txt | $(BIN)/python
	@echo "Installing what $(if $(filter tests,$*),tests and checks need,the desk needs) into .venv …"
	@$(call install,.venv,$<)
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "wxgate needs Python 3.11 or newer: make run PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv

# Without npm, the tests that need DynamoDB Local are skipped with one line; CI sets CI=true and fails instead.
$(DYNAMODB_JAR):
	@mkdir -p build/dynamodb-local
	@if command -v npm >/dev/null; then echo "Fetching DynamoDB Local …"; \
		cd build/dynamodb-local && npm pack --silent $(DYNAMODB_LOCAL) >/dev/null && tar xzf *.tgz && rm *.tgz; \
	else echo "npm is missing: the tests on DynamoDB Local are skipped."; fi

# --- AWS: docs/deploy.md; every command takes DRY_RUN=1 ---
# make package · make deploy STAGE=prod REGION=ap-east-1 APPIDS=wx… UPSTREAM_URL=https://… [PARAMETERS="TokenTtl=86400"] [BUCKET=…]
# make secrets STAGE=… REGION=… [APPIDS=…] [ROTATE_SIGNING_KEY=1] · make logs · make destroy [DATA=delete] · make bench-init
ARCHITECTURE ?= $(if $(filter cn-%,$(REGION)),x86_64,arm64)
comma := ,
STACK = $(BIN)/python -m deployment.stack $@ --stage "$(STAGE)" --region "$(REGION)" $(if $(DRY_RUN),--dry-run)

.PHONY: package deploy secrets logs destroy bench-init tools

package: .venv/tests.installed
	@$(BIN)/python -m deployment.package --architecture $(ARCHITECTURE)

deploy: .venv/tests.installed $(if $(DRY_RUN),,tools)
	@$(STACK) --architecture $(ARCHITECTURE) --bucket "$(BUCKET)" --parameter "AppIds=$(APPIDS)" \
		--parameter "UpstreamUrl=$(UPSTREAM_URL)" $(foreach word,$(PARAMETERS),--parameter "$(word)")

secrets: .venv/tests.installed $(if $(DRY_RUN),,tools)
	@$(STACK) $(foreach appid,$(subst $(comma), ,$(APPIDS)),--appid "$(appid)") \
		$(if $(ROTATE_SIGNING_KEY),--rotate-signing-key)

logs: .venv/tests.installed $(if $(DRY_RUN),,tools)
	@$(STACK)

destroy: .venv/tests.installed $(if $(DRY_RUN),,tools)
	@$(STACK) $(if $(filter delete,$(DATA)),--with-data)

bench-init: .venv/tests.installed
	$(BIN)/python -m benchmarks.init $(ARGS)

tools: build/tools/installed

build/tools/installed: infrastructure/requirements.txt | $(BIN)/python
	@echo "Installing the SAM command line into build/tools …"
	@$(PYTHON) -m venv build/tools
	@$(call install,build/tools,$<)
	@touch $@
