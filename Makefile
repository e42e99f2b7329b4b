# Needs GNU make and Python 3.11 or newer; the rest is installed into .venv on first use.
# `make` lists what there is. ARGS is passed on: make test ARGS="-k links -x"

PYTHON ?= python3
ARGS   ?=

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
ASV   := asv_benchmarks/asv.conf.json
# What the native library is built from: an editable install compiles it into the tree.
NATIVE := $(wildcard mimverify/native/*.[ch]) mimverify/native/compiler.py mimverify/native/build_hook.py

# Isolated build environments (pip's, and `build`'s) see constraints only through the environment: pip before 25.3
# reads the first of these, later ones the second. Relative, since pip splits the values at spaces.
$(STAMP) wheel: export PIP_CONSTRAINT := constraints.txt
$(STAMP) wheel: export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The set-up compiles nothing (--no-compile): what is imported is compiled once, and has to be kept. Images of containers
# often set this, and then each start compiles all it imports anew: SciPy for .7 s, Torch for 1.7 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ Set-up
.PHONY: help venv
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv, with everything the other targets need (about a minute, once)

# The stamp holds the place that the environment was made for. It is redone when half-made (no stamp), moved (another
# place), or without a Python that starts (one since upgraded or removed).
ifneq ($(shell $(BIN)/python -c "print('starts')" 2>/dev/null):$(shell cat $(STAMP) 2>/dev/null),starts:$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit("mimverify needs Python 3.11 or newer; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV) (about a minute)"
	@rm -f $@
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --no-compile -c constraints.txt -e '.[dev,bench,sklearn]'
	@pwd -P > $@

##@ Trial
.PHONY: check
check: $(STAMP) ## put both reference trainers on trial (quick profile) and print the report
	$(BIN)/mimverify check --profile quick $(ARGS)

##@ Development
.PHONY: test test-deep test-lowest fuzz native sanitise lint type format
test: $(STAMP) ## tests of mimverify itself, in two processes (make test ARGS="-n 0" for one)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-deep: $(STAMP) ## the long statistical tests that `make test` leaves out
	$(BIN)/python -m pytest -m slow $(ARGS)

# With a set-up of its own each time: a few minutes, which CI does not spend.
test-lowest: ## the tests with the lowest versions that pyproject.toml admits, Torch excepted
	@$(PYTHON) -m venv --clear .venv-lowest
	@$(PYTHON) .ci/lowest.py >.venv-lowest/constraints.txt
	@.venv-lowest/bin/python -m pip install -qq --no-compile -c .venv-lowest/constraints.txt -e '.[test]'
	.venv-lowest/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

fuzz: $(STAMP) ## damage every kind of file that is read back (make fuzz ARGS="-k capsule" EXAMPLES=100000)
	MIMVERIFY_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest tests/fuzz $(ARGS)

native: $(STAMP) ## compile the native pass into the tree, as the set-up does (CC names the compiler)
	$(BIN)/python -m mimverify.native

sanitise: $(STAMP) ## its tests with the sanitisers of addresses and undefined behaviour
	bash .ci/sanitise.sh $(BIN)/python $(EXAMPLES)

lint: $(STAMP) ## ruff: lint and format
	$(BIN)/ruff check $(ARGS) .
	$(BIN)/ruff format --check .

type: $(STAMP) ## mypy
	$(BIN)/mypy $(ARGS)

format: $(STAMP) ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Release and measurement
.PHONY: wheel smoke bench bench-full ci
wheel: $(STAMP) ## sdist, and the wheel built from it, into dist/
	@rm -rf dist
	$(BIN)/python -m build $(ARGS)

smoke: wheel ## install the wheel into an empty environment and use it from another folder
	PYTHON="$(PYTHON)" bash .ci/smoke.sh dist/*.whl

# asv insists on a machine description in the home folder; it gets a home of its own. The tools that it starts go on with
# the user's configuration and caches.
asv_home = home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && \
	export XDG_CONFIG_HOME="$${XDG_CONFIG_HOME:-$$HOME/.config}" XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$$HOME/.cache}" && \
	export HOME="$$home" && $(BIN)/asv machine --config $(ASV) --machine mimverify-ci --yes >/dev/null

# asv writes a list of benchmarks to its results, dry run or not, and those are under version control: this run has results,
# and thus a configuration, of its own.
asv_apart = import json, pathlib, sys; \
	folder, home = (pathlib.Path(path).resolve() for path in sys.argv[1:]); \
	conf = json.loads((folder / "asv.conf.json").read_text()); \
	conf |= {key: str(folder / conf[key]) for key in ("repo", "benchmark_dir", "env_dir")}; \
	conf |= {"results_dir": str(home / "results"), "html_dir": str(home / "html")}; \
	(home / "asv.conf.json").write_text(json.dumps(conf))

# What takes minutes elsewhere as well (`make check`, `make history`), or repeats a set-up for its memory alone, is left to
# `make bench-full`: of 13 minutes about 6 remain. asv looks for the pattern in "module.Class.name(parameters)".
quick_benchmarks := ^(?!.*peakmem)(?!trial\.)(?!exponents\.RunExponents)(?!ratios\..*, (1024|2048),)

bench: $(STAMP) ## run each quick benchmark once, here and now (make bench ARGS="--bench Step" for any by name)
	@$(MAKE) --no-print-directory bench-full ARGS="$(or $(ARGS),--bench '$(quick_benchmarks)')"

bench-full: $(STAMP) ## run every benchmark once
	@$(asv_home) && $(BIN)/python -c '$(asv_apart)' $(dir $(ASV)) "$$home" && \
	$(BIN)/asv run --config "$$home/asv.conf.json" --machine mimverify-ci --environment "existing:$(CURDIR)/$(BIN)/python" \
	  --quick --dry-run --show-stderr $(ARGS)

.PHONY: gpu
gpu: $(STAMP) ## all that needs a CUDA device: tests, trial, speeds, into docs/gpu.md (make gpu ARGS="--device cpu" tries it)
	$(BIN)/python asv_benchmarks/gpu.py $(ARGS)

.PHONY: history
history: $(STAMP) ## measure commits, each as installed, then the gate (make history ARGS="--steps 9 v1..HEAD")
	@$(asv_home) && BIN="$(CURDIR)/$(BIN)" bash asv_benchmarks/history.sh $(or $(ARGS),HEAD~5..HEAD)

ci: ## all that CI does
	bash .ci/run

.PHONY: clean distclean
clean: ## remove what was built, and the caches
	rm -rf build dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## and .venv, and the benchmarks' environments and results
	rm -rf $(VENV) .venv-lowest mimverify/native/*.so asv_benchmarks/env asv_benchmarks/html asv_benchmarks/results
