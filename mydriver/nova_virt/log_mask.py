# SPDX-License-Identifier: Apache-2.0
"""Keep CHAP secrets out of nova-compute's log.

At DEBUG, keystoneauth logs complete API responses, including Cinder's response
to an attach, with ``auth_password`` in plain text. oslo.log sets it to WARNING
by default, but ``default_log_levels`` may change that.
"""

import logging

from oslo_utils import strutils

#: keystoneauth1/session.py: one logger, or several with split_loggers.
LOGGERS = tuple('keystoneauth.session' + part for part in (
    '', '.body', '.request', '.response'))


class SecretFilter(logging.Filter):
    """Masks secrets in the text of a log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; drop none."""
        text = record.getMessage()
        if 'auth_password' in text:
            record.msg, record.args = strutils.mask_password(text), ()
        return True


def install() -> None:
    """Add the filter to the loggers that need it, once."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, SecretFilter) for f in logger.filters):
            logger.addFilter(SecretFilter())
