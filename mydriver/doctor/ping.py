# SPDX-License-Identifier: Apache-2.0
"""Start a privileged daemon and call a verb that does nothing.

A program of its own: it runs as the service's user, and the daemon ends with
it. ``python -m mydriver.doctor.ping KIND FILE...`` prints the error as its
last line, and exits with 1 if the verb fails and with 2 if the daemon does not
start or answer.
"""

import logging
import sys

from oslo_config import cfg
from oslo_log import log

from mydriver import exception
from mydriver.hostfiles import choices
from mydriver.privileged import channel, ping

#: Exit statuses.
FAILED, NOT_STARTED = 1, 2

#: How long the verb may take, seconds.
_TIMEOUT_S = 10.0


def main(kind: str, *files: str) -> int:
    """Call the verb; return the exit status.

    :param kind: of host.
    :param files: the configuration files of the service.
    """
    log.register_options(cfg.CONF)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING,
                        format='%(message)s')
    project, verb = (('cinder', ping.ping_target) if kind == choices.STORAGE
                     else ('nova', ping.ping_initiator))
    try:
        cfg.CONF([f'--config-file={f}' for f in files], project=project,
                 default_config_files=[], default_config_dirs=[])
        channel.run(verb, timeout_s=_TIMEOUT_S)
    except exception.PrivilegedError as e:
        return _say(e, NOT_STARTED)
    except (cfg.Error, exception.MyDriverError) as e:
        return _say(e, FAILED)
    return 0


def _say(error: Exception, status: int) -> int:
    print(str(error).replace('\n', ' '))
    return status


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
