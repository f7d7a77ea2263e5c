# SPDX-License-Identifier: Apache-2.0
"""Keep CHAP secrets out of nova-compute's log.

At DEBUG, keystoneauth writes whole answers of the APIs to the log, that of
Cinder to an attach among them, with ``auth_password`` in the clear. oslo.log
leaves it at WARNING by default; ``default_log_levels`` may say otherwise.
"""

import logging

from oslo_utils import strutils

#: keystoneauth1/session.py: one logger, or one a part with split_loggers.
LOGGERS = tuple('keystoneauth.session' + part for part in (
    '', '.body', '.request', '.response'))


class SecretFilter(logging.Filter):
    """Masks what looks like a secret in a record's text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; let all records pass."""
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
