# SPDX-License-Identifier: Apache-2.0
"""The operator's command; see :mod:`.main`."""

import warnings

# oslo.privsep imports eventlet where it is installed, which complains to
# whoever imports it; the operator can do nothing about it.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
