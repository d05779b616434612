# Every target works on a machine with only Python and a package index: the first one to need it makes .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO ?= runs/demo
# A process per core, at most four. Each begins with a row of whole files, so that tests still share what their file
# sets up; who is done first takes over from the others, so that none waits for the longest file.
TOGETHER := --numprocesses logical --maxprocesses 4 --dist worksteal

# Tests start hundreds of processes: where compiled modules are not kept, each compiles all that it imports, for 8 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test promises test-all test-lowest test-jax test-torch check lint notebooks docs bench load dist clean
.DEFAULT_GOAL := check

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/kertl demo --out $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(TOGETHER)

promises: $(STAMP)
	$(BIN)/python -m pytest -m "promise and slow" $(TOGETHER)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(TOGETHER)

# The quick tests of what the lowest admitted versions could break, with those versions, in an environment of their own;
# packages of theirs may use what newer Python warns of.
test-lowest: $(STAMP)
	$(PYTHON) -m venv build/lowest
	$(BIN)/python .ci/lowest.py > build/lowest.txt
	build/lowest/bin/python -m pip install --quiet --constraint build/lowest.txt --editable '.[dev]'
	build/lowest/bin/python -m pytest -m "not slow" -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning \
	  $(TOGETHER) tests/test_*.py tests/data tests/groups tests/backbones tests/model tests/tasks tests/training \
	  tests/evaluation tests/probes tests/runner tests/search tests/cli

# What needs no TensorFlow, in a process that cannot import it; test_read.py writes its logs with Keras' TensorBoard
# callback, which needs it.
NEUTRAL := -p tests.without_tensorflow -m "not slow" --ignore tests/diagnosis/test_read.py tests/test_schedules.py \
  tests/test_recipe.py tests/test_heads.py tests/test_results.py tests/test_checks.py tests/test_run_files.py \
  tests/tasks tests/diagnosis

test-jax: $(STAMP)
	KERAS_BACKEND=jax JAX_PLATFORMS=cpu $(BIN)/python -m pytest $(NEUTRAL)

# The same on PyTorch, which is in an environment of its own; no target of CI.
test-torch: $(STAMP)
	$(PYTHON) -m venv build/torch
	build/torch/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]' torch
	KERAS_BACKEND=torch build/torch/bin/python -m pytest $(NEUTRAL)
	KERAS_BACKEND=torch build/torch/bin/python -m tests.backends

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

notebooks: $(STAMP)
	$(BIN)/jupytext --to ipynb examples/colab/*.py

# The site, into build/site; nothing is fetched, and a warning is an error.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/mkdocs build --clean

bench: $(STAMP)
	$(BIN)/python benchmarks/input_pipeline.py
	$(BIN)/python benchmarks/extraction.py
	$(BIN)/python benchmarks/extract_once.py
	$(BIN)/python benchmarks/search.py --work speed

load: $(STAMP)
	$(BIN)/python benchmarks/serving.py

# What would be released: built, checked, below 1 MB, imported in an environment that has nothing else, and its bill of
# materials.
dist: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[release]'
	rm -rf dist build/alone
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/alone
	build/alone/bin/python -m pip install --quiet --no-deps dist/*.whl
	cd build && alone/bin/python -c "import kertl; print('kertl', kertl.__version__, 'is importable')"
	test $$(wc -c < dist/*.whl) -lt 1000000
	$(BIN)/python .ci/sbom.py dist/kertl.cdx.json

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
