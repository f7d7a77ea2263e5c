# SPDX-License-Identifier: Apache-2.0
"""The suites that ``make tempest`` runs by default."""

from collections.abc import Iterable
import re

#: Name in the table -> stestr's pattern of test names. Of nova's tests for
#: administrators only those about volumes; the others do not use storage.
SUITES = {
    'tempest.api.volume': r'tempest\.api\.volume\.',
    'tempest.api.compute.volumes': r'tempest\.api\.compute\.volumes\.',
    'tempest.api.compute.admin (volumes)':
        r'tempest\.api\.compute\.admin\.test_volume',
    'cinder_tempest_plugin': r'cinder_tempest_plugin\.',
}

#: Tests that create most of the servers. They keep the compute node busy, the
#: others the storage node.
SERVERS = r'tempest\.api\.compute\.|cinder_tempest_plugin\.scenario\.'

#: Any other test that the caller's pattern matches.
OTHER = 'other'


def regex() -> str:
    """Return a pattern for all suites."""
    return '^(' + '|'.join(SUITES.values()) + ')'


def shares(tests: Iterable[str], concurrency: int) -> list[tuple[str, int]]:
    """Distribute tests so that both nodes have work.

    :param concurrency: number of parallel tests.
    :returns: patterns, of which one matches each test, and the number of
        parallel tests for each pattern.
    """
    has = {bool(re.match(SERVERS, test)) for test in tests}
    if len(has) < 2 or concurrency < 2:
        return [('.*', concurrency)]
    return [(f'^(?:{SERVERS})', concurrency - concurrency // 2),
            (f'^(?!{SERVERS})', concurrency // 2)]


def suite_of(test: str) -> str:
    """Return the name of a test's suite."""
    for name, pattern in SUITES.items():
        if re.match(pattern, test):
            return name
    return OTHER
