# SPDX-License-Identifier: Apache-2.0
"""The suites that ``make tempest`` runs when nothing else is asked for."""

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

#: Everything else that a pattern of the caller's may choose.
OTHER = 'other'


def regex() -> str:
    """Return the pattern of all suites together."""
    return '^(' + '|'.join(SUITES.values()) + ')'


def suite_of(test: str) -> str:
    """Return the name of the suite that a test is of."""
    for name, pattern in SUITES.items():
        if re.match(pattern, test):
            return name
    return OTHER
