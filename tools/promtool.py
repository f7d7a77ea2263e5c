# SPDX-License-Identifier: Apache-2.0
"""Check rules and metrics with Prometheus' own tool (``make promtool``).

promtool is in Debian's package of the whole server, which also enables a
service. So it is taken out of the package, below ``.lab``, where the host
does not have it already.
"""

from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from tests.bench import scrape

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / '.lab' / 'promtool'
RULES = 'mydriver/cmd/monitoring/alerts.yaml'
TESTS = 'tests/promtool/alerts.yaml'


def program(folder: Path = FOLDER) -> str:
    """Return the path of promtool; fetch it if necessary.

    :param folder: where it is put.
    :raises CalledProcessError: when it cannot be fetched.
    """
    if found := shutil.which('promtool'):
        return found
    own = folder / 'usr' / 'bin' / 'promtool'
    if not own.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            # As root, since apt's own user cannot write there.
            subprocess.run(['apt-get', '-q', '-o', 'APT::Sandbox::User=root',
                            'download', 'prometheus'], cwd=name, check=True)
            package, = Path(name).glob('*.deb')
            unpacked = Path(name, 'unpacked')
            subprocess.run(['dpkg', '-x', str(package), str(unpacked)],
                           check=True)
            own.parent.mkdir(parents=True, exist_ok=True)
            os.replace(unpacked / 'usr/bin/promtool', own)
    return str(own)


def main(argv: Sequence[str]) -> int:
    """Check the rules, test them, and check metrics.

    :param argv: files with metrics, instead of those of the benchmark.
    :returns: 1 if something is wrong.
    """
    promtool = program()
    texts = [Path(name).read_text() for name in argv] or [
        scrape.measure(20, 2, 50).text]
    done = [subprocess.run([promtool, *command], cwd=ROOT, text=True,
                           check=False)
            for command in (('check', 'rules', RULES),
                            ('test', 'rules', TESTS))]
    done += [subprocess.run([promtool, 'check', 'metrics'], cwd=ROOT,
                            input=text, text=True, check=False)
             for text in texts]
    failed = sum(bool(one.returncode) for one in done)
    print(f'promtool: {len(done)} checks, {failed} failed')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
