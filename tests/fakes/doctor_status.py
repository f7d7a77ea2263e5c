# SPDX-License-Identifier: Apache-2.0
"""Stands in for ``mydriver status`` of a host with a kernel target."""

import os

print(os.environ.get('MYDRIVER_TEST_STATUS', '[]'))
