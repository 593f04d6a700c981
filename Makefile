# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UV := 0.13.9
export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True

.PHONY: setup java demo test test-all bench lint format lock clean

setup: .venv/.ready java  ## the virtual environment, exactly as locked, and a Java for Spark

.venv/.ready: requirements.lock pyproject.toml .ci/no_usage_data.pth
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make setup PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	cp .ci/no_usage_data.pth $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	touch $@

java:  ## Spark needs Java 17 or 21
	@sh .ci/java

demo: setup  ## the whole loop on a generated workspace, or on DATA=folder
	$(BIN)/python -m demo $(if $(DATA),--data $(DATA))

test: setup  ## the quick tests, under five minutes on two cores
	$(BIN)/python -m pytest -m "not slow"

test-all: setup  ## every test
	$(BIN)/python -m pytest

bench: setup  ## ours against the stock path and the floor
	$(BIN)/python -m benchmarks

lint: setup  ## format, lint, types, import rule
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup  ## resolve again; the file holds no address
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev --extra cluster \
		--custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

clean:  ## what was built; state under data/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
