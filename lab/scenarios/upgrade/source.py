# SPDX-License-Identifier: Apache-2.0
"""The driver's code of an earlier revision."""

import dataclasses
import os
from pathlib import Path
import shutil
import subprocess
import sys

from lab import errors, paths
from lab.cloud import driver

FOLDER = paths.STATE / 'upgrade'


@dataclasses.dataclass(frozen=True)
class Source:
    """Code of the driver.

    :param name: for people.
    :param folder: has the package.
    """

    name: str
    folder: Path


#: The clone's own code, as it is.
WORKING_TREE = Source('the working tree', driver.CODE.parent)


def check_out(revision: str) -> Source:
    """Write the package of a revision to its own directory, unless present.

    :param revision: anything that git takes for a commit.
    :raises LabError: when there is no such commit, or it has no driver.
    """
    commit = _run('git', 'rev-parse', '--verify', '--end-of-options',
                  f'{revision}^{{commit}}').decode().strip()[:12]
    folder = FOLDER / commit
    if not folder.exists():
        scratch = FOLDER / f'{commit}.new'
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        _run('tar', '-x', '-C', str(scratch), data=_run(
            'git', 'archive', '--format=tar', commit, driver.PACKAGE))
        # Each start in a node would compile it again.
        _run(sys.executable, '-m', 'compileall', '-q', str(scratch))
        scratch.rename(folder)
    return Source(commit, folder)


def _run(*argv: str, data: bytes = b'') -> bytes:
    """Run a program in the clone; return its output.

    :raises LabError: when it fails.
    """
    # A hook's variables would point git elsewhere.
    env = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
    done = subprocess.run(argv, cwd=paths.ROOT, input=data, env=env,
                          capture_output=True, check=False)
    if done.returncode:
        raise errors.LabError(f'{" ".join(argv)}: exit status '
                              f'{done.returncode}\n'
                              f'{done.stderr.decode(errors="replace")}')
    return done.stdout
