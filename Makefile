# SPDX-License-Identifier: Apache-2.0
# The two commands are `make demo` and `make test`; each first sets up what is
# missing. Settings of pip and uv in the environment apply.

# Kernel nodes start Python often; without byte code that takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .lab/venv
export PATH := $(CURDIR)/$(VENV)/bin:/usr/local/sbin:/usr/sbin:/sbin:$(PATH)

.PHONY: help bootstrap demo test quick verify fill upgrade tempest down clean

help:
	@echo 'make demo     attach a volume to servers in a real OpenStack'
	@echo 'make test     lint, types, imports, documentation and all tests'
	@echo 'make verify   crashes, wrong connectors, leaked secrets'
	@echo 'make fill     fill the store: what APIs and guests see; recover'
	@echo 'make upgrade  upgrade the driver under I/O and go back; FROM=REV is'
	@echo '              the revision to upgrade from'
	@echo 'make tempest  the volume tests of OpenStack; REGEX=... selects tests.'
	@echo '              STORE=lvmthin selects the store of these four'
	@echo 'make quick    make test without the functional tests'
	@echo 'make down     stop a cloud that was left running'
	@echo 'make clean    run make down, then remove .lab/'

# Debian images may lack Python.
bootstrap:
	@command -v $(PYTHON) >/dev/null || \
	    { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive \
	      apt-get -q -y install --no-install-recommends python3; } >/dev/null
	@$(PYTHON) -m lab.bootstrap

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

upgrade: bootstrap
	@$(VENV)/bin/python -m lab upgrade \
	    $(if $(FROM),--from '$(FROM)') $(if $(STORE),--store $(STORE))

tempest: bootstrap
	@$(VENV)/bin/python -m lab tempest \
	    $(if $(REGEX),--regex '$(REGEX)') $(if $(STORE),--store $(STORE))

down: bootstrap
	@$(VENV)/bin/python -m lab cloud down

clean: down
	rm -rf .lab
