# make run · make test · make check · make bench · make clean
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# DynamoDB Local, as packed by its npm package; only the tarball is taken, not its 200 dependencies.
DYNAMODB_LOCAL := amplify-dynamodb-simulator@2.9.30
DYNAMODB_JAR := build/dynamodb-local/package/emulator/DynamoDBLocal.jar

.PHONY: run test check format bench clean

run: .venv/installed
	@exec $(BIN)/python -m simulator --port $(PORT) $(if $(AWS_URL),--aws-url $(AWS_URL))

test: .venv/installed $(DYNAMODB_JAR)
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

check: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/installed
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis

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
