# SPDX-License-Identifier: Apache-2.0
# The two commands are `make demo` and `make test`; each first sets up what is
# missing. Settings of pip and uv in the environment apply.

# Kernel nodes start Python often; without byte code that takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
# Release of OpenStack of the cloud. Checks and tests run in .lab/venv.
DEFAULT_RELEASE := 2026.2
RELEASE ?= $(DEFAULT_RELEASE)
CHECKS := .lab/venv
VENV := $(CHECKS)$(if $(filter-out $(DEFAULT_RELEASE),$(RELEASE)),-$(RELEASE))
export PATH := $(CURDIR)/$(VENV)/bin:/usr/local/sbin:/usr/sbin:/sbin:$(PATH)

.PHONY: help bootstrap checks-bootstrap tests-bootstrap demo test quick verify fill \
        upgrade install-test ceph doctor-test takeover cluster-stress bench-path \
        bench-gateways tempest promtool dist dist-test test-python down clean

help:
	@echo 'make demo     attach a volume to servers in a real OpenStack'
	@echo 'make test     lint, types, imports, documentation and all tests'
	@echo 'make verify   crashes, wrong connectors, leaked secrets'
	@echo 'make fill     fill the store: what APIs and guests see; recover'
	@echo 'make upgrade  upgrade the driver under I/O and go back; FROM=REV is'
	@echo '              the revision to upgrade from'
	@echo 'make install-test  install the driver on hosts made anew, by what'
	@echo '              README says, and remove it again'
	@echo 'make ceph     the tests that need a Ceph: store, gateways, native'
	@echo 'make doctor-test  damage hosts, and mend them by what mydriver doctor'
	@echo '              prints'
	@echo 'make takeover lose gateways under I/O in every way; RUNS=N'
	@echo 'make cluster-stress  kill cinder-volume services of a cluster under'
	@echo '              load; MINUTES=N'
	@echo 'make bench-path  the data path of an image in Ceph: native, iSCSI'
	@echo '              and krbd, with fio; ROUNDS=N'
	@echo 'make bench-gateways  how long gateways take to attach, with few and'
	@echo '              with many exports, and to take 100 volumes over'
	@echo 'make tempest  the volume tests of OpenStack; REGEX=... selects tests.'
	@echo '              STORE=lvmthin or STORE=rbd selects the store of'
	@echo '              these and of make demo (fill and install-test have'
	@echo '              no rbd)'
	@echo '              RELEASE=2026.1 selects the release of OpenStack of these,'
	@echo '              of verify, fill, upgrade, takeover and cluster-stress'
	@echo 'make quick    make test without the functional tests'
	@echo 'make test-python  the unit tests with other versions of Python;'
	@echo '              PYTHONS="3.12 trixie /path/to/python3.13"'
	@echo 'make promtool alerting rules and metrics, checked by Prometheus'
	@echo 'make dist     source distribution, wheel and bill of materials of'
	@echo '              the last commit, in dist/'
	@echo 'make dist-test  check what they contain, and install the wheel into'
	@echo '              empty environments, with cinder, nova or neither'
	@echo 'make down     stop a cloud that was left running'
	@echo 'make clean    run make down, then remove .lab/'

# Debian images may lack Python.
bootstrap checks-bootstrap tests-bootstrap:
	@command -v $(PYTHON) >/dev/null || \
	    { apt-get -q -y update && DEBIAN_FRONTEND=noninteractive \
	      apt-get -q -y install --no-install-recommends python3; } >/dev/null
	@$(PYTHON) -m lab.bootstrap $(BOOTSTRAP)

bootstrap: BOOTSTRAP := --release '$(RELEASE)'
tests-bootstrap: BOOTSTRAP := --tests

demo: bootstrap
	@$(VENV)/bin/python -m lab demo $(if $(STORE),--store $(STORE))

test: tests-bootstrap
	@$(CHECKS)/bin/python -m tools.check --part test

quick: tests-bootstrap
	@$(CHECKS)/bin/python -m tools.check --part test --quick

verify: bootstrap
	@$(VENV)/bin/python -m lab verify $(if $(STORE),--store $(STORE))

fill: bootstrap
	@$(VENV)/bin/python -m lab fill $(if $(STORE),--store $(STORE))

upgrade: bootstrap
	@$(VENV)/bin/python -m lab upgrade \
	    $(if $(FROM),--from '$(FROM)') $(if $(STORE),--store $(STORE))

install-test: bootstrap
	@$(VENV)/bin/python -m lab install $(if $(STORE),--store $(STORE))

doctor-test: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.check --part doctor

ceph: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.check --part ceph

takeover: bootstrap
	@$(VENV)/bin/python -m lab takeover $(if $(RUNS),--runs $(RUNS))

cluster-stress: bootstrap
	@$(VENV)/bin/python -m lab cluster \
	    $(if $(MINUTES),--minutes $(MINUTES))

bench-path: checks-bootstrap
	@$(CHECKS)/bin/python -m lab kernel run --ceph --disk 4G --timeout 1200 -- \
	    python -m tests.bench.path $(if $(ROUNDS),--rounds $(ROUNDS))

# Each measurement in a fresh node, all of them even if one is too slow.
bench-gateways: checks-bootstrap
	@status=0; \
	for bench in takeover.Takeover attach.Scale attach.Comparison; do \
	    $(CHECKS)/bin/python -m lab kernel run --ceph --disk 4G --memory 3072 \
	        -- python -m unittest tests.bench.$$bench || status=1; \
	done; exit $$status

tempest: bootstrap
	@$(VENV)/bin/python -m lab tempest \
	    $(if $(REGEX),--regex '$(REGEX)') $(if $(STORE),--store $(STORE))

promtool: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.promtool

dist: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.dist

dist-test: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.disttest

test-python: checks-bootstrap
	@$(CHECKS)/bin/python -m tools.pythons $(PYTHONS)

down: bootstrap
	@$(VENV)/bin/python -m lab cloud down

clean: down
	rm -rf .lab
