# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own tests against the cloud: ``make tempest``.

============= =========================================================
``cli``       the command
``session``   the cloud before and after the tests, leftovers, errors in logs
``suites``    the tests to run, and their names in the table
``features``  which of tempest's features the cloud has
``conf``      tempest.conf
``run``       run stestr with a deadline, and read its results
``results``   the outcome of each test
``skips``     the list of skips with their reasons (``skips.toml``)
``verdict``   the table, and whether the run passed
============= =========================================================

Tempest and its plugin are the unmodified releases; nothing here changes what a
test means. A test that does not run is in ``skips.toml`` with the reason.
"""
