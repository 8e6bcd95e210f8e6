# make demo: the whole study, small, on data that need no download.   make test: the tests.
# Everything lives in .venv; nothing needs root, conda or a GPU.

PYTHON ?= python3
INSTALLER ?= uv
# nproc counts what this process may use, but takes OMP_NUM_THREADS for it.
CORES ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
KEPT ?= full
VENV := .venv
CODE := src tests workflow envs benchmarks reference
# Named, because make 3.81 (macOS) runs simple lines without a shell and then ignores the next line.
SHELL := /bin/bash
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Without compiled bytecode every start of Snakemake takes three times as long.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
# Snakemake, matplotlib, uv and pip keep caches in the home, and some stop where they cannot.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: demo cluster keep reference test test-all bench lint format audit lock clean clean-demo \
  clean-checkpoints clean-results help

demo: $(VENV)/run.installed
	snakemake --cores $(CORES) --configfile config/demo.yaml --quiet rules
	@echo "The report: $(CURDIR)/results/demo/report.html"

# What demo installs, and the plugins that send jobs to clusters.
cluster: $(VENV)/cluster.installed
	@echo "Now: source $(VENV)/bin/activate; snakemake --workflow-profile slurm"

# Adds the runs of results/full to reference/full, whose report and tables `make reference` makes anew.
keep: $(VENV)/run.installed
	PYTHONPATH=src python -m trainstudy.keep results/$(KEPT) reference/$(KEPT)
	$(MAKE) reference

# From the Parquet files in reference/full alone; trains nothing.
reference: $(VENV)/run.installed
	snakemake --cores $(CORES) --configfile reference/$(KEPT)/config.yaml --quiet rules
	rm -rf reference/$(KEPT)/tables && mkdir -p reference/$(KEPT)/tables
	cp results/reference-$(KEPT)/tables/*.csv reference/$(KEPT)/tables/
	cp results/reference-$(KEPT)/report.html reference/$(KEPT)/
	cp results/reference-$(KEPT)/figures/measured-against-published.png reference/$(KEPT)/
	# README shows this one.
	if [ $(KEPT) = full ]; then \
	  cp results/reference-full/figures/vit-curves-epochs.png reference/full/ && \
	  PYTHONPATH=src python reference/readme.py reference/full; fi
	@echo "The report: $(CURDIR)/reference/$(KEPT)/report.html"

# A process of its own for every core. Each computes with one thread, or they would wait for one another.
PYTEST := OMP_NUM_THREADS=1 pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test: $(VENV)/dev.installed
	$(PYTEST)

test-all: $(VENV)/dev.installed
	$(PYTEST) -m ""

lint: $(VENV)/dev.installed
	ruff check $(CODE)
	ruff format --check $(CODE)
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: $(VENV)/dev.installed
	ruff check --fix $(CODE)
	ruff format $(CODE)
	snakefmt Snakefile workflow

# Speed and memory against the textbook's training step. Needs Linux, and the machine for itself, 15 minutes.
bench: $(VENV)/dev.installed
	PYTHONPATH=src python benchmarks/bench.py
	PYTHONPATH=src python benchmarks/costs.py
	PYTHONPATH=src python benchmarks/sharing.py
	# The page is filled though a plan was above its limits, which fails.
	PYTHONPATH=src python benchmarks/dag.py; code=$$?; PYTHONPATH=src python benchmarks/page.py && exit $$code

# Known vulnerabilities of every locked release. It asks PyPI; --strict, because otherwise a release
# that could not be looked up counts as clean.
audit: $(VENV)/dev.installed
	@pip-audit --strict --disable-pip --require-hashes -r requirements/run.txt -r requirements/dev.txt \
	  && pip-audit --strict --disable-pip --require-hashes -r requirements/installer.txt \
	  && echo "Every release in requirements/ was looked up; none has a known vulnerability." \
	  || { echo "Not clean: what stands above is a vulnerability, or says why PyPI's service could not" \
	  "be asked (it needs the network; no answer is not a clean answer)." >&2; exit 1; }

# Newest releases that pyproject.toml admits, and from them the pins of the conda environments.
lock: $(VENV)/dev.installed
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --extra cluster --extra dev pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header -c requirements/dev.txt --extra cluster pyproject.toml -o requirements/cluster.txt
	echo uv | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header -c requirements/dev.txt - -o requirements/installer.txt
	$(MAKE) $(VENV)/dev.installed  # whose Snakemake prints envs/image.def
	python envs/pin.py

# Downloads, prepared data, finished and interrupted runs are kept: those go by name only.
clean:
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(wildcard $(CODE)) -name __pycache__ -type d -prune -exec rm -rf {} +

clean-demo:
	rm -rf results/demo

# Interrupted runs start anew afterwards; finished ones stay.
clean-checkpoints:
	rm -rf results/*/checkpoints

clean-results:
	@case "$(STUDY)" in ''|*[!a-z0-9-]*) \
	  echo "Which study? make clean-results STUDY=full deletes results/full with all its runs."; exit 1;; esac
	rm -rf "results/$(STUDY)"

help:
	@echo "make demo        set up .venv and run the whole study, small"
	@echo "make test        set up what tests need and run them; test-all: the slow ones, too"
	@echo "make cluster     .venv with Snakemake's plugins for clusters"
	@echo "make keep        add the runs of results/full to reference/full (KEPT=name: of another study)"
	@echo "make reference   report, tables and figures of what is kept, anew"
	@echo "make bench       speed and memory on this machine, into docs/performance.md"
	@echo "make clean       caches; results: clean-demo, clean-checkpoints, clean-results STUDY=name"
	@echo "make lint, format, audit, lock   for who changes the code"
	@echo "PYTHON=python3.12: another interpreter; INSTALLER=pip: without uv; CORES=2: fewer for the demo."

# Not its python: that is there before pip, without which nothing can be installed.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/%.installed: requirements/%.txt requirements/installer.txt | $(VENV)/bin/pip
ifeq ($(INSTALLER),pip)
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
else
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.txt
	uv pip install --python $(VENV)/bin/python --require-hashes -r $<
endif
	touch $@
