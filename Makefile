# Every command of the project. CI calls nothing but these targets.
.DEFAULT_GOAL := help
.PHONY: help setup run decide submit schedule ui serve screenshots garbage test faults fuzz check fix compile golden images e2e acceptance locks chart scan bench clean
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin

PRESET ?= $(if $(filter decide,$(MAKECMDGOALS)),decide,quickstart)
PIPELINE ?= training
PORT ?= 5000
MODEL ?= trunkline-20news-topics@champion
CLUSTER ?= default
ENDPOINT ?= $(KF_PIPELINES_ENDPOINT)
export PIPELINE PRESET SOURCE LABELS SET BRANCH  # read in the shell, so that any character may be in them
REMOTE = --endpoint '$(ENDPOINT)' $(if $(STORE),--store '$(STORE)')
WORDS = --pipeline "$$PIPELINE" --preset "$$PRESET" --source "$$SOURCE" --labels "$$LABELS" --branch "$$BRANCH" --set "$$SET"

##@ Use
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Make .venv with everything in it (also done by the other targets)

run: setup ## Run a preset: PRESET=quickstart SOURCE=my/text LABELS=my/labels.csv SET='a.b=1 c.d=[0, 1]' PIPELINE=evaluation BRANCH=...
	@$(BIN)/python -m pipelines.local $(WORDS)

decide: setup ## Does pre-training pay? SOURCE=my/texts LABELS=my/labels.csv MINUTES=10 PRESET=decide
	@$(BIN)/python -m pipelines.decide $(WORDS) --minutes $(or $(MINUTES),10)

submit: setup ## Run on a cluster: PRESET=... ENDPOINT=https://... STORE=s3://... SET='...' WAIT=1
	@TRUNKLINE_CLUSTER='$(CLUSTER)' $(BIN)/python -m pipelines.submit $(WORDS) $(REMOTE) $(if $(WAIT),--wait)

schedule: setup ## Make recurring runs what pipelines/schedules declares: ENDPOINT=... ACTION=diff or apply
	@TRUNKLINE_CLUSTER='$(CLUSTER)' $(BIN)/python -m pipelines.schedule $(or $(ACTION),apply) --endpoint '$(ENDPOINT)'

ui garbage serve: export MLFLOW_TRACKING_URI ?= sqlite:///runs/mlflow.db
ui: setup ## Browse runs and models in MLflow on 127.0.0.1, PORT=5000
	@case "$$MLFLOW_TRACKING_URI" in http*) echo "$$MLFLOW_TRACKING_URI"; exit;; esac; echo "http://127.0.0.1:$(PORT)"; \
	  MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow server --host 127.0.0.1 --port $(PORT) \
	  --backend-store-uri "$$MLFLOW_TRACKING_URI" --artifacts-destination runs/mlartifacts

garbage: setup ## Tell what nothing needs in the store; with DELETE=1 hide it, and delete it a week later
	@TRUNKLINE_STORE="$${TRUNKLINE_STORE:-runs/store}" $(BIN)/python -m components.lib.registry.retention $(if $(DELETE),--delete)

serve: setup ## Answer over HTTP on 127.0.0.1, PORT=5000: MODEL=trunkline-20news-topics@champion
	@PATH="$$PWD/$(BIN):$$PATH" MLFLOW_DISABLE_TELEMETRY=true \
	  mlflow models serve -m 'models:/$(MODEL)' --env-manager local --host 127.0.0.1 --port $(PORT)

screenshots: setup ## Walk through MLflow in Chromium after `make run`, and take the README's pictures
	@$(PYTHON) tests/browsing/walk.py runs .github/pictures

##@ Develop
test: setup ## The tests, in 9 to 17 minutes; faults and e2e run those that take longer
	@$(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

faults: setup ## Every fault of the matrix (kills, hangs, broken stores and servers); 17 to 30 minutes, and a table of them
	@$(BIN)/python -m pytest -q -m fault -n logical --maxprocesses 4

fuzz: setup ## 100,000 broken files, images and labels: nothing is lost, nothing but a told error ends it; 5 to 30 minutes
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),2400) $(BIN)/python -m pytest -q -n logical --maxprocesses 8 tests/fuzzing

check: setup ## Format, lint and types
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && $(BIN)/mypy

fix: setup ## Format, and repair what the linter can
	@$(BIN)/ruff format -q . ; $(BIN)/ruff check -q --fix .

compile: setup ## Write the pipelines and their manifests to build/: CLUSTER=default, a file of pipelines/clusters
	@TRUNKLINE_CLUSTER='$(CLUSTER)' $(BIN)/python -m pipelines.compile build

golden: setup ## Refresh the golden pipelines; read the difference before you commit it
	@$(BIN)/python -m pipelines.compile tests/pipelines/golden && TRUNKLINE_CLUSTER=nvidia $(BIN)/python -m pipelines.compile tests/pipelines/golden/nvidia training

images: setup ## Build IMAGE, or all images; BASE_IMAGE, TORCH_INDEX, TRUNKLINE_IMAGES, PIP_CONF, PUSH=1; LIST=1 names them
	@$(if $(LIST),,images/engine.sh) $(BIN)/python -m images.build $(IMAGE) $(if $(PUSH),--push) $(if $(LIST),--list)

e2e: setup ## Whole runs: as text grows, on images, by the rules of KFP, in containers with parity, with CUDA=1 also an image of CUDA's torch; needs Docker, or root on Debian
	@$(BIN)/python -m pytest -q -m 'long and not fault' -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
	@PACKAGES=postgresql images/engine.sh bash -c '{ [ -z "$(CUDA)" ] || TORCH_INDEX= $(BIN)/python -m images.build --pattern "cuda/{image}:{tag}" pretraining; } && $(BIN)/python -m images.build && $(BIN)/python -m pytest -q -s tests/e2e/runners.py'

acceptance: setup ## What a cluster (kubectl's) keeps of all promises: ENDPOINT=... CLUSTER=... TRAINER=1 SECONDS=1500 ROWS='success digest' REMOVE=name
	@TRUNKLINE_CLUSTER='$(CLUSTER)' $(BIN)/python -m tests.acceptance $(REMOTE) --rows '$(ROWS)' --remove '$(REMOVE)' $(if $(TRAINER),--trainer) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(STEPS),--steps $(STEPS))

locks: setup ## Refresh the hash locks of images/ after a change of pyproject.toml or constraints.txt
	@test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install -q uv; }
	@$(BIN)/python -m images.locks build/uv/bin/uv

chart: .venv-charts/ready ## Render charts/trunkline with Helm's engine and check it; needs Linux on x86-64
	@.venv-charts/bin/python -m pytest -q tests/charts

scan: .venv-scan/ready ## Scanners of manifests, Dockerfiles, workflows, shell, Python, secrets and YAML
	@.venv-scan/bin/python -m tests.scan

bench: setup ## Benchmarks against peers, printed and added to the history; BENCH='engine training' runs those alone
	@for file in $(foreach name,$(or $(BENCH),*),tests/benchmarks/bench_$(name).py); do $(BIN)/python -m "tests.benchmarks.$$(basename $$file .py)" || exit; done

clean: ## Remove what can be made again; runs/ stays
	@rm -rf .venv .venv-* build .pytest_cache .mypy_cache .ruff_cache .hypothesis $$(find . -name __pycache__ -type d -prune)

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer with venv is needed: apt-get install python3 python3-venv, or PYTHON=..."; exit 69; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*sum( \
	  [project["dependencies"], *project["optional-dependencies"].values()], []), sep="\n")' > .venv/requirements.txt
	@echo "Installing into .venv, once; this takes some minutes"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -r .venv/requirements.txt && touch $@

.venv-%/ready: tests/%/lock.txt
	@$(PYTHON) -m venv .venv-$* && .venv-$*/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $< && touch $@
