# Everything a newcomer types. Needs git, make and Python 3.11 or newer with venv; nothing is asked, nothing is compiled.
# The first Python on the path that is new enough; make PYTHON=… names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV ?= uv
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input -q
INSTALL := $(PIP) install --require-hashes --only-binary :all: --no-warn-script-location

.DEFAULT_GOAL := help
.PHONY: help demo test faults interop lint bench pages wheel lock clean

help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1  /p' $(MAKEFILE_LIST)

demo: $(VENV)/runtime ## the whole post office, once, on this machine
	$(VENV)/bin/digipoort demo

test: $(VENV)/dev ## every test
	$(VENV)/bin/python -m pytest

faults: $(VENV)/dev ## every kill point and disk error, not the slice of `make test`
	DIGIPOORT_FAULTS=full $(VENV)/bin/python -m pytest tests/faults

interop: $(VENV)/dev ## clients of other makers: CXF (Java, Maven), xml-crypto (Node, npm), PHP
	DIGIPOORT_INTEROP=1 $(VENV)/bin/python -m pytest tests/interop "tests/how_to/test_how_to.py::test_the_page_does_what_it_says[cxf]"

lint: $(VENV)/dev ## ruff format, ruff check, mypy --strict
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy -p digipoort_as4

bench: $(VENV)/dev ## CPU per message beside the cryptographic floor
	$(VENV)/bin/python tests/bench/bench_messages.py

pages: $(VENV)/runtime ## the docs that are written from tables
	$(VENV)/bin/python docs/errors_page.py > docs/errors.md
	$(VENV)/bin/digipoort coverage --page > docs/coverage.md

wheel: $(VENV)/dev ## dist/*.whl
	$(PIP) wheel --no-deps --no-build-isolation -w dist .

lock:            ## renew both locks (needs uv on the path, and the network)
	$(UV) pip compile -q pyproject.toml --group build $(LOCKING) -o requirements.txt
	$(UV) pip compile -q pyproject.toml --group build --group dev $(LOCKING) -o requirements-dev.txt
LOCKING := --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-header --no-annotate --upgrade

clean:           ## forget the environment and what was built
	rm -rf $(VENV) build dist

# The locks hold every package with its hashes, the build backend included (decision 38).
$(VENV)/runtime: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer on the path; name one: make PYTHON=/path/to/python3" >&2; exit 7; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	touch $@
