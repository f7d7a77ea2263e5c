# SPDX-License-Identifier: Apache-2.0
"""The rule by which sudo starts the privileged daemon, and its check.

The rule is a shell pattern, not a regular expression, which needs sudo 1.9.10
(RHEL 9 and Ubuntu 22.04 have older ones, where such a rule matches nothing).
It has no ``*``, which in sudoers matches blanks and slashes as well. The only
part of the command that varies is the socket's directory, from
``tempfile.mkdtemp`` (oslo_privsep/daemon.py, RootwrapClientChannel): ``tmp``
and eight characters.
"""

import os
from pathlib import Path
import shutil
import subprocess
import tempfile

from mydriver import exception, privileged
from mydriver.hostfiles import choices as chosen

_CONTEXTS = {chosen.STORAGE: privileged.target_context,
             chosen.COMPUTE: privileged.initiator_context}

#: Characters of names that ``tempfile`` makes, and their number.
_RANDOM = '[a-z0-9_]' * 8

#: Where visudo is when PATH lacks the directories of root's programs.
_SBIN = '/usr/sbin:/usr/local/sbin:/sbin'

_VISUDO_TIMEOUT_S = 60.0


def section(kind: str) -> str:
    """Return the section of the context in the service's configuration."""
    return str(_CONTEXTS[kind].cfg_section)


def command(choices: chosen.Choices) -> str:
    """Return ``helper_command`` without sudo."""
    return ' '.join([choices.helper, *(
        f'--config-file {f}' for f in choices.config_files)])


def helper_command(choices: chosen.Choices) -> str:
    """Return ``helper_command``."""
    return ('' if choices.user == 'root' else 'sudo ') + command(choices)


def rule(choices: chosen.Choices) -> str:
    """Return sudo's rule: what oslo.privsep runs, and nothing else."""
    return (f'{choices.user} ALL=(root) NOPASSWD: {command(choices)} '
            f'--privsep_context {_CONTEXTS[choices.kind].pypath} '
            f'--privsep_sock_path /tmp/tmp{_RANDOM}/privsep.sock')


def check(content: bytes) -> None:
    """Have visudo check a file, before it is put in place.

    :raises ConfigurationError: when visudo refuses it or is not there.
    """
    visudo = shutil.which('visudo', path=os.pathsep.join(
        [os.environ.get('PATH', ''), _SBIN]))
    if visudo is None:
        raise exception.ConfigurationError(
            'sudoers', 'visudo is not there to check the file',
            'Install the package sudo. A file with a syntax error would '
            'disable sudo altogether.')
    with tempfile.TemporaryDirectory(prefix='mydriver-setup-') as folder:
        file = Path(folder, 'sudoers')
        file.touch(0o600)
        file.write_bytes(content)
        try:
            found = subprocess.run(
                [visudo, '-c', '-f', str(file)], check=False,
                capture_output=True, text=True, errors='replace',
                timeout=_VISUDO_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise exception.ConfigurationError(
                'sudoers', f'{visudo} does not run: {e}',
                'Repair the package sudo.') from e
    if found.returncode:
        said = ' '.join((found.stdout + found.stderr).split())
        raise exception.ConfigurationError(
            'sudoers', f'visudo refuses the file: {said}',
            'Nothing was installed. Check --user, --helper, --bindir and '
            '--config-file.')
