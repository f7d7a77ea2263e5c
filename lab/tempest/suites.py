# SPDX-License-Identifier: Apache-2.0
"""The suites that ``make tempest`` runs when nothing else is asked for."""

from collections.abc import Iterable
import re

#: Name in the table -> pattern of the tests' names, as stestr takes it. Of
#: nova's tests for administrators those about volumes; the others of that
#: package do not touch storage.
SUITES = {
    'tempest.api.volume': r'tempest\.api\.volume\.',
    'tempest.api.compute.volumes': r'tempest\.api\.compute\.volumes\.',
    'tempest.api.compute.admin (volumes)':
        r'tempest\.api\.compute\.admin\.test_volume',
    'cinder_tempest_plugin': r'cinder_tempest_plugin\.',
}

#: Tests that make most of the servers. They wait for the compute node, the
#: others for the storage node.
SERVERS = r'tempest\.api\.compute\.|cinder_tempest_plugin\.scenario\.'

#: Everything else that a pattern of the caller's may choose.
OTHER = 'other'


def regex() -> str:
    """Return the pattern of all suites together."""
    return '^(' + '|'.join(SUITES.values()) + ')'


def shares(tests: Iterable[str], concurrency: int) -> list[tuple[str, int]]:
    """Return how tests are shared out, so that both nodes have work.

    :param concurrency: how many tests at a time.
    :returns: patterns that choose each test once, and how many tests of each
        at a time.
    """
    has = {bool(re.match(SERVERS, test)) for test in tests}
    if len(has) < 2 or concurrency < 2:
        return [('.*', concurrency)]
    return [(f'^(?:{SERVERS})', concurrency - concurrency // 2),
            (f'^(?!{SERVERS})', concurrency // 2)]


def suite_of(test: str) -> str:
    """Return the name of the suite that a test is of."""
    for name, pattern in SUITES.items():
        if re.match(pattern, test):
            return name
    return OTHER
