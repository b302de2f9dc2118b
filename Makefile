# The desk, the tests and the deployment. `git clean -fdX` removes all that these have made.
# ARGS go to the tool that a target runs: make test ARGS=tests/store, make load ARGS="--run-time 30s".
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
UV := uv==0.13.9
# DynamoDB Local, as its npm package holds it; only the tarball is taken, not its 200 dependencies.
DYNAMODB_LOCAL := amplify-dynamodb-simulator@2.9.30
DYNAMODB_JAR := build/dynamodb-local/package/emulator/DynamoDBLocal.jar

.PHONY: run unit test check load bench demo

# Run the desk: the gate and a simulated WeChat, AWS and upstream; your own parts by variables (docs/own-machine.md).
run: .venv/simulator.installed $(if $(DATA),$(DYNAMODB_JAR))
	@exec $(BIN)/python -m simulator --port $(PORT)

# Run the tests that need no server and no Node: seconds.
unit: .venv/tests.installed
	@$(BIN)/python -m pytest tests/unit -q -n 2 $(ARGS)

# Run all tests; what ships must be covered completely, lines and branches. With ARGS: these tests alone, without coverage.
test: .venv/tests.installed $(DYNAMODB_JAR)
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist worksteal --cov --cov-report=)
	@$(if $(ARGS),,$(BIN)/coverage report --fail-under=100 --include='chalicelib/*')

# Check style, types and insecure patterns (in all code by ruff, in what ships by bandit as well); `.venv/bin/ruff check --fix` and `ruff format` fix what they can.
check: .venv/tests.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit -q -r app.py chalicelib

# Send ten minutes of mixed traffic of many users to the desk, and check every answer against its user.
load: .venv/tests.installed $(DYNAMODB_JAR)
	@echo "Sending traffic to the desk: the figures follow at the end …"
	@$(BIN)/python -m locust $(ARGS)

# Run the benchmarks (docs/benchmarks.md).
bench: .venv/tests.installed
	@$(BIN)/python -m benchmarks $(ARGS)

# Put the client library into the demo mini-program, so that WeChat DevTools opens it.
demo:
	@rm -rf miniprogram/demo/miniprogram_npm && mkdir -p miniprogram/demo/miniprogram_npm
	@cp -R miniprogram/miniprogram_dist miniprogram/demo/miniprogram_npm/wxgate
	@echo "Now import miniprogram/demo into WeChat DevTools."

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
# make package · make deploy STAGE=prod REGION=ap-east-1 APPIDS=wx… UPSTREAM_URL=https://… [PARAMETERS="TokenTtl=86400"]
#     [BUCKET=…] [TAGS="team=a"] [ROLE_ARN=…]
# make secrets STAGE=… REGION=… [APPIDS=…] [ROTATE_SIGNING_KEY=1] [ROTATE_PUSH_SECRETS=1] · make rollback · make redrive ·
#     make destroy [DATA=delete]
ARCHITECTURE ?= $(if $(filter cn-%,$(REGION)),x86_64,arm64)
STACK = wxgate-$(or $(STAGE),$(error STAGE is missing: write a name, such as STAGE=prod))
PLACE = --region $(or $(REGION),$(error REGION is missing: write a region, such as REGION=ap-east-1))
DRY = $(if $(DRY_RUN),--dry-run)
comma := ,
quoted = '$(subst ','\'',$(1))'
# A dry run shows the command, and changes nothing.
SHOW = $(if $(DRY_RUN),$(BIN)/python -c 'import shlex$(comma) sys; print(shlex.join(sys.argv[1:]))')
SAM = build/tools/bin/sam
SAM_INSTALLED = $(if $(DRY_RUN),,build/tools/installed)
export SAM_CLI_TELEMETRY := 0

.PHONY: package deploy secrets rollback redrive destroy

package: .venv/tests.installed
	@$(BIN)/python -m infrastructure.package --architecture $(ARCHITECTURE)

deploy: .venv/tests.installed $(SAM_INSTALLED)
	@$(BIN)/python -m infrastructure.parameters --stack $(STACK) $(PLACE) --out build/$(STACK).yaml $(DRY) -- \
		$(if $(APPIDS),$(call quoted,AppIds=$(APPIDS))) $(if $(UPSTREAM_URL),$(call quoted,UpstreamUrl=$(UPSTREAM_URL))) \
		$(foreach word,$(PARAMETERS),$(call quoted,$(word)))
	@$(if $(DRY_RUN),,$(BIN)/python -m infrastructure.package --architecture $(ARCHITECTURE) --revise build/$(STACK).yaml)
	@$(SHOW) $(SAM) deploy --stack-name $(STACK) $(PLACE) --config-file $(CURDIR)/infrastructure/samconfig.toml \
		--parameter-overrides file://build/$(STACK).yaml --tags wxgate:stage=$(STAGE) $(TAGS) \
		$(if $(ROLE_ARN),--role-arn $(call quoted,$(ROLE_ARN))) --s3-prefix $(STACK) $(if $(BUCKET),--s3-bucket $(call quoted,$(BUCKET)),--resolve-s3)

secrets: .venv/tests.installed
	@$(BIN)/python -m infrastructure.secrets --stack $(STACK) $(PLACE) $(DRY) \
		$(foreach appid,$(subst $(comma), ,$(APPIDS)),--appid $(call quoted,$(appid))) $(if $(ROTATE_SIGNING_KEY),--rotate-signing-key) \
		$(if $(ROTATE_PUSH_SECRETS),--rotate-push-secrets)

# To the version before, in seconds; the next deployment goes forward.
rollback: .venv/tests.installed
	@$(BIN)/python -m infrastructure.rollback --stack $(STACK) $(PLACE) $(DRY)

# Send undelivered events again; DRY_RUN=1 only shows them.
redrive: .venv/tests.installed
	@$(BIN)/python -m infrastructure.redrive --stack $(STACK) $(PLACE) $(DRY)

# SAM CLI asks before it deletes. The table stays, but for DATA=delete.
destroy: .venv/tests.installed $(SAM_INSTALLED)
	@$(SHOW) $(if $(filter delete,$(DATA)),$(BIN)/python -m infrastructure.destroy --stack $(STACK) $(PLACE) --) \
		$(SAM) delete --stack-name $(STACK) $(PLACE)

build/tools/installed: infrastructure/requirements.txt | $(BIN)/python
	@echo "Installing the SAM command line into build/tools …"
	@$(PYTHON) -m venv build/tools
	@$(call install,build/tools,$<)
	@touch $@
