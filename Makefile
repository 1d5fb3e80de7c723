# Each target sets up what it needs: a .venv by plain pip, pinned by constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
EXTRAS ?= tfds,text,hf,lerobot,mujoco,babyai,sb3,ray,docs,dev
PYTEST_ARGS ?= -n auto --dist loadfile

.PHONY: setup demo test lint docs bench clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/embodied-cf demo --out demo-out

test: setup
	$(BIN)/pytest $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# The site, in site/. Tests build it as well, with warnings as errors, and run the commands that it shows.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist site *.egg-info demo-out
