# SPDX-License-Identifier: Apache-2.0
"""Check what a release consists of, and install it (``make dist-test``).

Source distribution and wheel of the last commit are built and their contents
checked. The unpacked source distribution has to build the same wheel where
there is no git. Then the wheel is installed into empty environments: alone,
with each extra, and beside cinder or nova. What it brings along there, what it
can import and what it says is compared with what is expected.

The last line is ``N passed, N failed``.
"""

import argparse
from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
from unittest import mock

from tools import contents, dist, hosts, venvs
from tools.checklist import Checklist

FOLDER = dist.ROOT / '.lab' / 'dist-test'


def files_of(commit: str) -> set[str]:
    """Return the files of a commit."""
    return set(filter(None, dist.git(
        'ls-tree', '-r', '-z', '--name-only', commit).split('\0')))


def without_git(sdist: Path, out: Path) -> Path:
    """Build the wheel from a source distribution where git is missing.

    :param out: directory for the wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(str(sdist), folder)
        tree, = Path(folder).iterdir()
        path = str(Path(sys.executable).parent)
        if shutil.which('git', path=path):
            raise venvs.VenvError(f'there is a git in {path}')
        with mock.patch.dict(os.environ, {'PATH': path}):
            dist.build(tree, out, '--wheel')
    wheel, = out.glob('*.whl')
    return wheel


def check_files(report: Checklist, folder: Path) -> Path:
    """Build the release, check its files, and return the wheel."""
    report.say('Files of the release')
    sdist, wheel, _ = dist.release(folder / 'first')
    repository = files_of('HEAD')
    version = wheel.name.split('-')[1]
    found = contents.in_sdist(sdist)
    report.check(f'{sdist.name} is complete',
                 contents.wrong_in_sdist(found, repository),
                 f'{len(found)} files, {sdist.stat().st_size >> 10} KiB')
    found = contents.in_wheel(wheel)
    report.check(f'{wheel.name} has the package and no more',
                 contents.wrong_in_wheel(found, repository, version),
                 f'{len(found)} files, {wheel.stat().st_size >> 10} KiB')
    report.check('RECORD is that of the files', contents.wrong_record(wheel),
                 f'{len(contents.record(wheel))} entries')
    number = sdist.name.removeprefix('mydriver-').removesuffix('.tar.gz')
    report.check('Both have the same number', [] if number == version else [
        f'{number} and {version}'], version)
    second = without_git(sdist, folder / 'second')
    report.check('The tarball makes the same wheel without git',
                 contents.differences(wheel, second),
                 f'{len(contents.record(second))} hashes are equal')
    return wheel


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('only', nargs='*', metavar='WORD',
                        help='only the environments whose name has one of '
                             'these; the files are always checked')
    args = parser.parse_args(argv)
    start = time.monotonic()
    report = Checklist(lambda line: print(line, flush=True))
    shutil.rmtree(FOLDER, ignore_errors=True)
    if dist.git('status', '--porcelain'):
        print('Changes that are not committed are left out.',
              file=sys.stderr)
    try:
        wheel = check_files(report, FOLDER)
        rows = [row for host in hosts.HOSTS
                if not args.only or any(w in host.name for w in args.only)
                for row in hosts.check(host, wheel, FOLDER / 'venv', report)]
        report.say('')
        for line in hosts.table(rows):
            report.say(line)
    except (subprocess.CalledProcessError, venvs.VenvError, OSError) as e:
        report.check('Build and install', [str(e)])
    report.say(f'all of it in {time.monotonic() - start:.0f} s')
    return report.close()


if __name__ == '__main__':
    sys.exit(main())
