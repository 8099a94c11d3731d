# Everything a newcomer needs: `make demo` (a story, written by the simulated chip), `make test`.
# The environment lives in .venv and is made once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint format clean

demo: $(STAMP)
	@$(BIN)/tilewright generate tinystories -t siracusa \
		--prompt "Once upon a time" -n 220 --temperature 0.8 --top-p 0.9 --seed 7

test: $(STAMP).dev lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-all: $(STAMP).dev lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "full or not full" 2>&1 | tee test-all.log

lint: $(STAMP).dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP).dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Debian splits ensurepip off from Python: without it, the pip of the machine fills the environment.
$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; }

$(STAMP): $(VENV)/bin/python pyproject.toml hatch_build.py sim/CMakeLists.txt $(wildcard sim/src/*)
	@echo "installing into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMP).dev: $(STAMP)
	@echo "installing what tests need into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache
