# SPDX-License-Identifier: Apache-2.0
"""The operator's command; see :mod:`.main`."""

import os
import warnings

# oslo.privsep imports eventlet where it is installed, which complains to
# whoever imports it; the operator can do nothing about it.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

# Nor is its DNS of any use here, which takes a fifth of the start, and which
# Cinder does without as well (cinder/__init__.py).
os.environ.setdefault('EVENTLET_NO_GREENDNS', 'yes')
