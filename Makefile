# SPDX-License-Identifier: Apache-2.0
# The two commands are `make demo` and `make test`; each sets up whatever is
# missing first. Settings of pip and uv in the environment hold as they are.

# Kernel nodes start Python often: without byte code a start takes twice the
# time.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .lab/venv
export PATH := $(CURDIR)/$(VENV)/bin:/usr/local/sbin:/usr/sbin:/sbin:$(PATH)

.PHONY: help bootstrap demo test quick verify fill tempest down clean

help:
	@echo 'make demo   a volume reaches a server in a real OpenStack'
	@echo 'make test   lint, types, imports, documentation and all tests'
	@echo 'make verify crashes, wrong connectors, secrets: what operators fear'
	@echo 'make fill   a store is full: what everybody sees, and how it recovers'
	@echo 'make tempest  the volume tests of OpenStack itself; REGEX=... chooses'
	@echo '            tests. STORE=lvmthin chooses the store of these three'
	@echo 'make quick  the same as make test without the functional tests'
	@echo 'make down   end a cloud that was left running'
	@echo 'make clean  remove .lab/ (after `make down`)'

# Debian's images may come without any Python.
bootstrap:
	@command -v $(PYTHON) >/dev/null || \
	    { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive \
	      apt-get -q -y install --no-install-recommends python3; } >/dev/null
	@$(PYTHON) lab/bootstrap.py

demo: bootstrap
	@$(VENV)/bin/python -m lab demo

test: bootstrap
	@$(VENV)/bin/python -m tools.check

quick: bootstrap
	@$(VENV)/bin/python -m tools.check --quick

verify: bootstrap
	@$(VENV)/bin/python -m lab verify $(if $(STORE),--store $(STORE))

fill: bootstrap
	@$(VENV)/bin/python -m lab fill $(if $(STORE),--store $(STORE))

tempest: bootstrap
	@$(VENV)/bin/python -m lab tempest \
	    $(if $(REGEX),--regex '$(REGEX)') $(if $(STORE),--store $(STORE))

down: bootstrap
	@$(VENV)/bin/python -m lab cloud down

clean: down
	rm -rf .lab
