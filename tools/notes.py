# SPDX-License-Identifier: Apache-2.0
"""Check the release notes: lint them, and build their document.

reno reads notes from git: it needs the whole history, which a shallow clone
lacks, and sees only committed notes. So they are first copied to a repository
of their own, and the result depends only on the files.
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

#: Ignore the user's settings, and the repository that a git hook points to.
_GIT = {'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_SYSTEM': os.devnull,
        **{f'GIT_{who}_{what}': value for who in ('AUTHOR', 'COMMITTER')
           for what, value in (('NAME', 'notes'), ('EMAIL', 'notes@invalid'),
                               ('DATE', '2026-01-01T00:00:00Z'))}}


def copy(source: Path, folder: Path) -> None:
    """Make ``folder`` a repository with the notes as its only commit.

    :param source: the directory ``releasenotes``.
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
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='working directory')
    parser.add_argument('--source', type=Path, default=ROOT / _NAME,
                        help='directory with the notes and their document')
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
