# what a contributor runs; `make help` lists it
# the tools are those of the active environment, which `make install` fills

PYTHON ?= python3.11
TORCH ?= 2.13.0
# what `make test-oldest` and `make test-newest` run: what leans on other libraries, and whole runs
VERSION_TESTS ?= tests/upstream tests/config tests/data tests/metrics tests/modeling tests/reports \
  tests/test_check.py tests/test_command_line.py tests/integration/test_run_folder.py
# what `make test-newest` installs over the pins of pyproject.toml
OVER_PINS ?= hydra-core>=1.4.0.dev0 omegaconf>=2.4.0.dev0

.DEFAULT_GOAL := help
.PHONY: help install check format generate test test-slow test-families coverage test-gpu test-slurm test-tpu test-oldest test-newest build constraints constraints-tpu

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 18

install:  ## install into the active environment, with what the tests need
	pip install -c constraints.txt -e ".[test]"

check:  ## linters, types, spelling, and what is generated
	ruff check
	ruff format --check
	mypy
	lint-imports --no-logo --no-cache
	yamllint --strict conf .yamllint.yaml .pre-commit-config.yaml
	codespell
	python tools/generate_schemas.py --check
	python tools/generate_reference.py --check
	python tools/generate_news_briefs.py --check

format:  ## put code into its form, and mend what the linter can mend
	ruff check --fix
	ruff format

generate:  ## write the schemas, the reference and the bundled corpus again, after what they come from changed
	python tools/generate_schemas.py
	python tools/generate_reference.py
	python tools/generate_news_briefs.py

test:  ## the tests
	pytest

test-slow:  ## the tests that take minutes, which `make test` leaves out
	pytest -m slow

coverage:  ## the branches that the tests of single modules run, of which CI wants a share
	pytest tests/config tests/data tests/metrics tests/reports tests/run_folder \
	  tests/test_check.py --cov

test-families:  ## a tiny model of each encoder-decoder family of transformers; writes its table (3 minutes)
	python tools/family_table.py

test-gpu:  ## the tests that need an NVIDIA GPU; `make test` runs them too, where there is one
	pytest -m gpu -n 0 tests/gpu

test-slurm:  ## the tests on a Slurm of two nodes, which they start here (root; slurm-wlm, munge)
	pytest tests/slurm -m slurm -n 0

test-tpu:  ## the tests of hardware=tpu8, on the CPU, in an environment that is built first (8 GB)
	$(PYTHON) -m venv build/tpu
	build/tpu/bin/pip install --quiet -c constraints-tpu.txt -e ".[test,tpu]"
	build/tpu/bin/pip check
	SUMMEXP_PYTHON="$$(command -v python)" build/tpu/bin/pytest -m tpu -n 0 tests/tpu

test-oldest:  ## tests of libraries and whole runs, with the oldest versions that are allowed (8 GB)
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/pip install --quiet uv
	build/oldest/bin/uv pip install --quiet --python build/oldest/bin/python \
	  --resolution lowest-direct -e ".[test]"
	build/oldest/bin/uv pip check --quiet --python build/oldest/bin/python
	build/oldest/bin/pytest $(VERSION_TESTS)

test-newest:  ## the same with the newest, pre-releases and those of OVER_PINS included (8 GB)
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/pip install --quiet uv
	printf '%s\n' $(foreach one,$(OVER_PINS),'$(one)') > build/over-pins.txt
	build/newest/bin/uv pip install --quiet --python build/newest/bin/python \
	  --prerelease allow --overrides build/over-pins.txt -e ".[test]"
	build/newest/bin/pytest $(VERSION_TESTS)

build:  ## the wheel, into dist/
	python -m build --wheel --no-isolation

constraints:  ## pin the newest versions that are allowed, in constraints.txt (torch: TORCH=2.13.0)
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/pip install --quiet torch==$(TORCH) -e ".[test,deepspeed]"
	build/constraints/bin/pip check
	echo '# the versions that the tests ran with, written by `make constraints`' > constraints.txt
	build/constraints/bin/pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//' >> constraints.txt

constraints-tpu:  ## the same versions with the torch that torch_xla goes with, in constraints-tpu.txt
	$(PYTHON) -m venv --clear build/constraints
	grep -v '^torch==' constraints.txt > build/constraints.txt
	build/constraints/bin/pip install --quiet -c build/constraints.txt -e ".[test,tpu]"
	build/constraints/bin/pip check
	echo '# the versions that the tests of tpu8 ran with, written by `make constraints-tpu`' > constraints-tpu.txt
	build/constraints/bin/pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//' >> constraints-tpu.txt
