# SPDX-License-Identifier: Apache-2.0
"""Check the release notes: their form, and that they make a document.

reno reads the notes from git: from all of the history, which a shallow clone
lacks, and only those that are committed. Here they are copied to a repository
of their own first, so that the result depends on nothing but the files.
"""

import argparse
from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import subprocess
import sys

ROOT = Path(__file__).resolve().parent.parent
_NAME = 'releasenotes'

#: No setting of the user's, and no other repository: a hook has such ones.
_GIT = {'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_SYSTEM': os.devnull,
        **{f'GIT_{who}_{what}': value for who in ('AUTHOR', 'COMMITTER')
           for what, value in (('NAME', 'notes'), ('EMAIL', 'notes@invalid'),
                               ('DATE', '2026-01-01T00:00:00Z'))}}


def copy(source: Path, folder: Path) -> None:
    """Make ``folder`` a repository whose only commit has the notes.

    :param source: the folder ``releasenotes``.
    :raises CalledProcessError: when git fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder / _NAME, ignore=shutil.ignore_patterns(
        'build', '*.cache', '__pycache__'))
    env = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
    for command in (['init', '--quiet'], ['add', '--force', _NAME],
                    ['commit', '--quiet', '--message', 'Notes']):
        subprocess.run(['git', *command], cwd=folder, check=True,
                       env={**env, **_GIT})


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='what to work in')
    parser.add_argument('--source', type=Path, default=ROOT / _NAME,
                        help='the notes and the settings of their document')
    args = parser.parse_args(argv)
    copy(args.source, args.folder)
    reno = str(Path(sys.executable).parent / 'reno')
    for command in ([reno, '--quiet', 'lint'],
                    [sys.executable, '-m', 'sphinx', '-W', '--keep-going',
                     '-q', '-E', '-b', 'html', f'{_NAME}/source', 'html']):
        status = subprocess.run(command, cwd=args.folder,
                                check=False).returncode
        if status:
            return status
    return 0


if __name__ == '__main__':
    sys.exit(main())
