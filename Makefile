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
CODE := $(ROOMS) bench tools tests setup.py
PYTEST := $(ENV) python -m pytest
COVERAGE := $(ROOMS:%=--cov=%) --cov-report=term:skip-covered
ARGS ?=
QUICK := -m "not full"

# Where a shell says so, nothing imported is kept compiled, and every process of the tests compiles all of it anew: a
# third and more of what it takes to import Spark and MLflow.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo mlflow real real-others test test-full unit lint types imports format coverage dist zip-smoke cluster-smoke features-doc lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

setup: ## what running needs: .venv, Java, Delta's JARs, Spark's settings
	@command -v $(PYTHON) >/dev/null || { echo "set-up: Seller Credit needs Python 3.11: there is no $(PYTHON) on the PATH (make PYTHON=/path/to/python3.11 ...)." >&2; exit 2; }
	@$(PYTHON) -E -m tools.prepare

setup-tests: ## what the tests need: the same, the development packages and Chromium
	@command -v $(PYTHON) >/dev/null || { echo "set-up: Seller Credit needs Python 3.11: there is no $(PYTHON) on the PATH (make PYTHON=/path/to/python3.11 ...)." >&2; exit 2; }
	@$(PYTHON) -E -m tools.prepare --for-tests

# ---- the chain of the demo: one process and one Spark session, steps joined by the word `then` ----------------------
# History is taken in by one run, up to the day that the deliveries of 31 August 2024 close; then three days one by one.
DEMO := SELLER_CREDIT_LAKE__ROOT=demo/lake SELLER_CREDIT_MLFLOW__TRACKING_URI=sqlite:///demo/mlflow.db \
    SELLER_CREDIT_PSEUDONYMS__KEY_FILE=demo/pseudonyms.key
# A key of its own for the demo's buyers, beside the lakes and not in them.
KEY := mkdir -p demo && { [ -f demo/pseudonyms.key ] || $(PYTHON) -c 'import secrets; print(secrets.token_hex(32))' > demo/pseudonyms.key; }
MARKET := --source marketplace --input demo/world/deliveries
# Both have fewer than 200 bad groups, so that no gate that rests on bads can pass.
FEW_BADS := $(foreach gate,auc-fall observed-to-expected calibration-intercept calibration-slope grades directions \
    calibration-by-region,--override '$(gate)=too few bads to tell: promoted to show the chain')
demo: setup ## a simulated marketplace from its ledger to offers and one seller's page, in demo/
	@$(KEY)
	@$(ENV) $(DEMO) seller-credit simulate --out demo/world \
	    then ingest $(MARKET) --through 2024-08-31 \
	    then aggregate --through 2024-08-31 \
	    then training-set --from 2021-08 --to 2023-11 \
	    then audit newest \
	    then features --as-of 2024-09-01 \
	    then train --trained-on 2023-09-01 --trainer 'modeller of the demo' \
	    then review challenger \
	    then promote challenger --approver 'risk officer of the demo' $(FEW_BADS) \
	    then daily $(MARKET) --as-of 2024-09-02 \
	    then daily $(MARKET) --as-of 2024-09-03 \
	    then daily $(MARKET) --as-of 2024-09-04 \
	    then record --first-with offer --format html --out demo/records/offer.html \
	    then record --first-with decline --format html --out demo/records/decline.html \
	    then record --first-with not_enough_history --format html --out demo/records/not-enough-history.html \
	    then status
	@echo
	@echo 'Open:  demo/records/offer.html  demo/records/decline.html  demo/records/not-enough-history.html'
	@echo 'Model: make mlflow, then http://127.0.0.1:5000/#/models/seller-credit'

mlflow: ## the MLflow pages of the demo's models, on loopback until Ctrl-C
	@$(ENV) mlflow server --backend-store-uri sqlite:///demo/mlflow.db --host 127.0.0.1 --port 5000

# ---- the chain on real VAT invoices: INVOICES is the folder with invoices.parquet and enterprises.csv -----------------
INVOICES ?= ../shared/data/invoices
REAL := SELLER_CREDIT_LAKE__ROOT=demo/real-lake SELLER_CREDIT_MLFLOW__TRACKING_URI=sqlite:///demo/real-mlflow.db \
    SELLER_CREDIT_PSEUDONYMS__KEY_FILE=demo/pseudonyms.key
real: setup ## the same chain on real VAT invoices of 425 firms (INVOICES=folder), in demo/
	@[ -f '$(INVOICES)/invoices.parquet' ] || { echo "make real: no invoices.parquet in $(INVOICES): say where it is, make real INVOICES=/path/to/folder" >&2; exit 2; }
	@$(KEY)
	@$(ENV) $(REAL) seller-credit ingest --source vat_invoices --input '$(INVOICES)' \
	    then aggregate --through 2020-03-31 \
	    then training-set --given \
	    then audit newest \
	    then train --cross-validate 5x5 --trainer 'modeller of the demo' --policy no_loan_book \
	    then review challenger \
	    then promote challenger --approver 'risk officer of the demo' $(FEW_BADS) \
	        --override 'adverse-impact=the invoices tell neither region nor owner type' \
	    then features --as-of 2020-03-01 \
	    then score --as-of 2020-03-01 \
	    then decide --as-of 2020-03-01 --policy no_loan_book \
	    then record E1 --format html --out demo/records/real-E1.html \
	    then status
	@echo
	@echo 'Open: demo/records/real-E1.html'

real-others: ## after `make real`: XGBoost and the scorecard on the same firms, by the same repeated cross-validation
	@$(ENV) $(REAL) seller-credit train --cross-validate 5x5 --trainer 'modeller of the demo' --policy no_loan_book \
	        --algorithm xgboost \
	    then train --cross-validate 5x5 --trainer 'modeller of the demo' --policy no_loan_book --algorithm scorecard
# ---------------------------------------------------------------------------------------------------------------------

test: lint types imports unit ## all that must hold before a commit: lint, types, import rules, tests

unit: setup-tests ## the tests alone
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder $(QUICK) $(ARGS)

test-full: setup-tests ## the tests that take minutes: the chain, real invoices, 2,500 histories, broken engines, days one by one, kills
	@$(PYTEST) -m full $(ARGS)

coverage: override ARGS += $(COVERAGE)
coverage: unit ## which lines the quick tests touch

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

zip-smoke: dist ## `spark-submit jobs/ingest.py` with the zip alone, from another folder
	@rm -rf build/smoke && mkdir -p build/smoke
	@SELLER_CREDIT_PSEUDONYM_KEY=the-key-of-a-smoke-test-is-no-secret tests/smoke/zip_smoke.sh jobs/ingest.py --source "$$PWD/tests/smoke/shop.yml" --input "$$PWD/tests/smoke/shop" \
	    --lake "$$PWD/build/smoke/lake"
	@rm -rf build

cluster-smoke: dist ## one more day after `make demo`, on a standalone master and worker of its own
	@[ -d demo/lake ] || { echo "make cluster-smoke: goes on from the demo's lake: run make demo first" >&2; exit 2; }
	@rm -rf build/smoke && mkdir -p build/smoke && cp -r demo/lake build/smoke/lake
	@SELLER_CREDIT_LAKE__ROOT="$$PWD/build/smoke/lake" SELLER_CREDIT_MLFLOW__TRACKING_URI="sqlite:///$$PWD/demo/mlflow.db" \
	    SELLER_CREDIT_PSEUDONYMS__KEY_FILE="$$PWD/demo/pseudonyms.key" \
	    tests/smoke/cluster_smoke.sh jobs/daily.py --as-of 2024-09-05 --source marketplace --input "$$PWD/demo/world/deliveries"
	@rm -rf build

features-doc: setup ## docs/features.md, from the catalogue of features
	@$(ENV) python -m transforms.features.reference > docs/features.md

lock: setup-tests ## pin anew: requirements*.in -> requirements*.txt, with hashes
	@tools/lock

clean: ## remove everything that set-up, tests and the demo made; a registry of your own (mlflow.db) and keys stay
	@rm -rf .venv .spark demo dist build seller_credit.egg-info htmlcov mlruns mlartifacts spark-warehouse metastore_db
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache .benchmarks artifacts
	@rm -f .coverage .coverage.* coverage.xml derby.log
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
