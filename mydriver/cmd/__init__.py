# SPDX-License-Identifier: Apache-2.0
"""The operator's command ``mydriver``; see :mod:`.main`."""

import os
import warnings

# oslo.privsep imports eventlet if it is installed, and eventlet prints a
# deprecation warning that the operator can do nothing about.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

# eventlet's DNS resolver is not used here and takes a fifth of the start-up
# time. Cinder disables it as well (cinder/__init__.py).
os.environ.setdefault('EVENTLET_NO_GREENDNS', 'yes')
