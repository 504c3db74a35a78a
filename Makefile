# Everything starts here; each target sets up what it needs and reuses what is there.
#
# What set-up makes, all of it inside this folder and git-ignored (tools/prepare.py; `make clean` removes it):
#   .venv                 Python 3.11 with the pinned packages, and this project as an editable install
#   .spark/jars           Delta's two JARs, fetched once, checked by sha256
#   .spark/conf           spark-defaults.conf and log4j2.properties
#   .spark/java_home      the Java 17 or 21 that was found or installed; it wins over JAVA_HOME and the PATH
#   .spark/env            `. .spark/env` in a shell gives all of it: JAVA_HOME, SPARK_HOME, SPARK_CONF_DIR,
#                         PYSPARK_PYTHON, SPARK_LOCAL_IP and the PATH
# Inside .venv, pyspark/conf is a link to .spark/conf: Spark finds its settings with no variable set at all, and
# `.venv/bin/seller-credit` needs no environment, since the session reads .spark/java_home.
#
# Paths in here are relative: a folder's name may have a blank, which make's own functions split at.

PYTHON ?= python3.11
ENV := . ./.spark/env &&
ROOMS := conf transforms ml jobs
CODE := $(ROOMS) tools tests setup.py
PYTEST := $(ENV) python -m pytest
COVERAGE := $(ROOMS:%=--cov=%) --cov-report=term:skip-covered
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo real test unit test-full lint types imports format dist zip-smoke cluster-smoke lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

setup: ## what running needs: .venv, Java, Delta's JARs, Spark's settings
	@command -v $(PYTHON) >/dev/null || { echo "set-up: Seller Credit needs Python 3.11: there is no $(PYTHON) on the PATH (make PYTHON=/path/to/python3.11 ...)." >&2; exit 2; }
	@$(PYTHON) -E -m tools.prepare

setup-tests: ## what the tests need: the same, the development packages and Chromium
	@command -v $(PYTHON) >/dev/null || { echo "set-up: Seller Credit needs Python 3.11: there is no $(PYTHON) on the PATH (make PYTHON=/path/to/python3.11 ...)." >&2; exit 2; }
	@$(PYTHON) -E -m tools.prepare --for-tests

# ---- the chain of the demo: one process, steps joined by the word `then` -------------------------------------------
demo: setup ## a simulated marketplace from events to decisions, in demo/
	@mkdir -p demo
	@$(ENV) seller-credit --help

# ---- the chain on a public data set ---------------------------------------------------------------------------------
real: setup ## the same chain on a public data set, in demo/
	@mkdir -p demo
	@$(ENV) seller-credit --help
# ---------------------------------------------------------------------------------------------------------------------

test: lint types imports unit ## all that must hold before a commit: lint, types, import rules, tests with coverage

unit: setup-tests ## the tests alone, with coverage lines
	@$(PYTEST) $(COVERAGE) $(ARGS)

test-full: lint types imports ## the same with the slow tests
	@$(PYTEST) $(COVERAGE) -m "slow or not slow" $(ARGS)

lint: setup-tests ## ruff: rules and format
	@$(ENV) ruff check $(CODE) && ruff format --check $(CODE)

types: setup-tests ## mypy
	@$(ENV) mypy

imports: setup-tests ## who may import whom (import-linter)
	@$(ENV) lint-imports

format: setup-tests ## let ruff mend what it can
	@$(ENV) ruff check --fix $(CODE); ruff format $(CODE)

# `build` is removed before: setuptools would take modules from it that no longer exist.
dist: setup ## the wheel, and the same file as .zip: executors refuse the name .whl
	@rm -rf build dist
	@$(ENV) python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@cp dist/seller_credit-*.whl dist/seller_credit.zip
	@ls dist

zip-smoke: dist ## the zip under spark-submit from another folder; ARGS="jobs/daily.py --as-of ..."
	@tests/smoke/zip_smoke.sh $(ARGS)

cluster-smoke: dist ## the same on a standalone master and worker of its own; ARGS as above
	@tests/smoke/cluster_smoke.sh $(ARGS)

lock: setup-tests ## pin anew: requirements*.in -> requirements*.txt, with hashes
	@tools/lock

clean: ## remove everything that set-up, tests and the demo made
	@rm -rf .venv .spark demo dist build seller_credit.egg-info htmlcov mlruns mlartifacts spark-warehouse metastore_db
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache .benchmarks artifacts
	@rm -f .coverage .coverage.* coverage.xml derby.log mlflow.db
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
