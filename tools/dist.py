# SPDX-License-Identifier: Apache-2.0
"""Build what a release consists of (``make dist``).

The source distribution, the wheel, and the wheel's bill of materials. They are
built from the last commit, in a copy, so nothing that lies about in the
working tree gets into them. The version is that of the commit's tag; without
one it is a development version (pbr).

The wheel is built from the unpacked source distribution, which has no git.
"""

import argparse
from collections.abc import Sequence
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from tools import sbom

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """Return the environment without what points git to a repository."""
    return {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}


def git(*arguments: str, cwd: Path = ROOT) -> str:
    """Run git; return its output.

    :raises CalledProcessError: when it fails; it has said why.
    """
    return subprocess.run(['git', *arguments], cwd=cwd, env=environment(),
                          check=True, text=True, stdout=subprocess.PIPE
                          ).stdout


def build(tree: Path, out: Path, *options: str) -> None:
    """Build the source distribution, and the wheel from it.

    Nothing is downloaded: the build requirements of this interpreter's
    environment are used.

    :param tree: a repository; with the option ``--wheel``, also an unpacked
        source distribution. (reno writes its cache into a source distribution,
        for which it needs git.)
    :param out: directory for the files; created if missing.
    :param options: more options of ``uv build``.
    :raises CalledProcessError: when the build fails; it has said why.
    """
    uv = str(Path(sys.executable).parent / 'uv')
    done = subprocess.run(
        [uv, 'build', '--offline', '--no-build-isolation', '--python',
         sys.executable, '--out-dir', str(out), *options, str(tree)],
        env=environment(), check=False, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()
    (out / '.gitignore').unlink(missing_ok=True)  # uv's


def release(out: Path, root: Path = ROOT) -> list[Path]:
    """Build all files of a release.

    :param out: directory, whose earlier content is removed.
    :param root: the repository; its last commit is built.
    :returns: the files.
    """
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / 'tree'
        git('clone', '--quiet', str(root), str(tree))
        build(tree, out)
    sdist, = out.glob('*.tar.gz')
    wheel, = out.glob('*.whl')
    bill = wheel.with_suffix('.cdx.json')
    bill.write_text(json.dumps(sbom.bill(wheel), indent=1) + '\n')
    return [sdist, wheel, bill]


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'dist',
                        help='directory; what it contains is removed')
    args = parser.parse_args(argv)
    try:
        if git('status', '--porcelain'):
            print('Changes that are not committed are left out.',
                  file=sys.stderr)
        for path in release(args.out.resolve()):
            print(f'{path.stat().st_size:10}  {path}')
    except (subprocess.CalledProcessError, sbom.SbomError) as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
