# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own tests against the cloud: ``make tempest``.

============= =========================================================
``cli``       the command
``session``   the cloud before and after: up, what is left, logs, down
``suites``    which tests there are to run, and their names in the table
``features``  one line for each thing that tempest asks about: do we
``conf``      tempest.conf
``run``       stestr with a deadline, its results as they come
``results``   what became of each test
``skips``     the list of skips with their reasons (``skips.toml``)
``verdict``   the table, and whether all held
============= =========================================================

Tempest and its plugin are the unmodified releases; nothing here decides what
a test means. A test that does not run is in ``skips.toml`` with the reason.
"""
