# make run · make test · make check · make bench · make clean; to deploy, see docs/deploy.md
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# DynamoDB Local, as packed by its npm package; only the tarball is taken, not its 200 dependencies.
DYNAMODB_LOCAL := amplify-dynamodb-simulator@2.9.30
DYNAMODB_JAR := build/dynamodb-local/package/emulator/DynamoDBLocal.jar

.PHONY: run test check format bench clean

run: .venv/installed
	@exec $(BIN)/python -m simulator --port $(PORT) $(if $(AWS_URL),--aws-url $(AWS_URL))

# On two cores. chalicelib is covered wholly, lines and branches; a part of the tests (ARGS) is not judged.
test: .venv/installed $(DYNAMODB_JAR)
	$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist worksteal) --cov --cov-report=term
	@$(if $(ARGS),,$(BIN)/coverage report --fail-under=97 --format=total >/dev/null \
		&& $(BIN)/coverage report --fail-under=100 --include='chalicelib/*')

check: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit -q -r app.py chalicelib
	$(BIN)/bandit -q -ll -r simulator deployment fuzz

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/installed
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv build miniprogram/node_modules miniprogram/*/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "wxgate needs Python 3.11 or newer: make run PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Without npm the tests that need it are skipped with one line; CI sets CI=true and fails instead.
$(DYNAMODB_JAR):
	@mkdir -p build/dynamodb-local
	@if command -v npm >/dev/null; then \
		cd build/dynamodb-local && npm pack --silent $(DYNAMODB_LOCAL) >/dev/null && tar xzf *.tgz && rm *.tgz; \
	else echo "npm is missing: the tests on DynamoDB Local will be skipped"; fi

# --- AWS: docs/deploy.md; every command takes DRY_RUN=1 ---
# make package · make deploy STAGE=prod REGION=ap-east-1 APPIDS=wx… UPSTREAM_URL=https://… [PARAMETERS="TokenTtl=86400"] [BUCKET=…]
# make secrets STAGE=… REGION=… [APPIDS=…] [ROTATE_SIGNING_KEY=1] · make logs · make destroy [DATA=delete] · make bench-init · make wheels
ARCHITECTURE ?= $(if $(filter cn-%,$(REGION)),x86_64,arm64)
comma := ,
STACK = $(BIN)/python -m deployment.stack $@ --stage "$(STAGE)" --region "$(REGION)" $(if $(DRY_RUN),--dry-run)

.PHONY: package deploy secrets logs destroy bench-init wheels tools

package: .venv/installed
	@$(BIN)/python -m deployment.package --architecture $(ARCHITECTURE)

deploy: .venv/installed $(if $(DRY_RUN),,tools)
	@$(STACK) --architecture $(ARCHITECTURE) --bucket "$(BUCKET)" --parameter "AppIds=$(APPIDS)" \
		--parameter "UpstreamUrl=$(UPSTREAM_URL)" $(foreach word,$(PARAMETERS),--parameter "$(word)")

secrets: .venv/installed $(if $(DRY_RUN),,tools)
	@$(STACK) $(foreach appid,$(subst $(comma), ,$(APPIDS)),--appid "$(appid)") \
		$(if $(ROTATE_SIGNING_KEY),--rotate-signing-key)

logs: .venv/installed $(if $(DRY_RUN),,tools)
	@$(STACK)

destroy: .venv/installed $(if $(DRY_RUN),,tools)
	@$(STACK) $(if $(filter delete,$(DATA)),--with-data)

bench-init: .venv/installed
	$(BIN)/python -m benchmarks.init $(ARGS)

wheels: .venv/installed
	$(BIN)/python -m deployment.wheels

tools: build/tools/installed

build/tools/installed: deployment/tools.txt
	@$(PYTHON) -m venv build/tools
	@build/tools/bin/python -m pip install --quiet --disable-pip-version-check -r deployment/tools.txt
	@touch $@

# --- fuzz and audit: each in an environment of its own, so that none changes what is tested ---
# make fuzz ARGS="--seconds 3600" · make audit
.PHONY: fuzz audit

fuzz: build/fuzzer/installed
	@build/fuzzer/bin/python -m fuzz $(ARGS)

audit: build/auditor/installed
	@build/auditor/bin/python -m deployment.audit $(ARGS)

# What does not install is tried again the next time; until then the command itself says what is missing, and fails nothing.
build/fuzzer/installed: requirements.txt
	@$(PYTHON) -m venv build/fuzzer
	@build/fuzzer/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt atheris==3.0.0 \
		&& touch $@ || true

build/auditor/installed: Makefile
	@$(PYTHON) -m venv build/auditor
	@build/auditor/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 \
		&& touch $@ || true
