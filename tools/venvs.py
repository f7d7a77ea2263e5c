# SPDX-License-Identifier: Apache-2.0
"""Virtual environments of the checks: made empty, filled, measured."""

from collections.abc import Callable, Sequence
import dataclasses
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from tools import dist

CONSTRAINTS = dist.ROOT / 'constraints.txt'

#: Seconds after which a command in an environment is ended.
TIMEOUT_S = 600

_MIB = 1 << 20


class VenvError(Exception):
    """An environment cannot be made or filled."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What is in an environment.

    :param packages: version by name.
    :param size_bytes: of all files of the packages.
    """

    packages: dict[str, str]
    size_bytes: int

    @property
    def size_mib(self) -> float:
        """The size in MiB."""
        return self.size_bytes / _MIB


class Venv:
    """A new, empty environment.

    :param folder: where it is made; what is there is removed.
    :param python: the interpreter; default: this one.
    :param enter: returns the command that runs another one where the
        environment is to be used.
    """

    def __init__(self, folder: Path, python: str = sys.executable,
                 enter: Callable[..., tuple[str, ...]] = lambda *words: words
                 ) -> None:
        self.folder = folder
        self.python = folder / 'bin' / 'python'
        self._enter = enter
        self._uv('venv', '--clear', '--python', python, str(folder))

    def install(self, *words: str) -> None:
        """Install requirements, in the versions of the constraints.

        :param words: requirements, and options of ``uv pip install``.
        :raises VenvError: when that fails.
        """
        self._uv('pip', 'install', '--python', str(self.python), '-c',
                 str(CONSTRAINTS), '--build-constraint', str(CONSTRAINTS),
                 *words)

    def content(self) -> Content:
        """Return what is installed."""
        listed = json.loads(self._uv(
            '--quiet', 'pip', 'list', '--format', 'json', '--python',
            str(self.python)))
        size = sum(path.lstat().st_size
                   for site in self.folder.glob('lib/python3*/site-packages')
                   for path in site.rglob('*')
                   if path.is_file() and path.suffix != '.pyc')
        return Content({p['name']: p['version'] for p in listed}, size)

    def conflicts(self) -> str:
        """Return what ``pip check`` finds wrong, empty if nothing."""
        done = self._run(uv(), 'pip', 'check', '--python', str(self.python))
        return done.stdout.strip() if done.returncode else ''

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; it may fail."""
        return self._run(str(self.folder / 'bin' / words[0]), *words[1:])

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs the environment's Python."""
        return self._enter(str(self.python), *words)

    def probe(self, *words: str) -> Any:
        """Run :mod:`tools.probe` in the environment; return its answer.

        :raises VenvError: when it fails.
        """
        done = self.run('python', '-I', '-W', 'ignore', str(
            Path(__file__).with_name('probe.py')), *words)
        if done.returncode:
            raise VenvError(done.stdout.strip().rpartition('\n')[2])
        # Imported packages may print, before it.
        return json.loads(done.stdout.strip().rpartition('\n')[2])

    def _uv(self, *words: str) -> str:
        done = self._run(uv(), *words)
        if done.returncode:
            raise VenvError(f'uv {" ".join(words)}: exit status '
                            f'{done.returncode}\n{done.stdout}')
        return done.stdout


    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _run(self._enter(*words))


def uv() -> str:
    """Return the program ``uv`` of this interpreter's environment."""
    return str(Path(sys.executable).parent / 'uv')


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command outside of any repository, with its output as one."""
    env = {k: v for k, v in dist.environment().items()
           if k not in ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV')}
    try:
        return subprocess.run(
            command, cwd=os.sep, env=env, check=False, text=True,
            errors='replace', stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as e:
        raise VenvError(f'{" ".join(command)}: not done after {TIMEOUT_S} s'
                        ) from e
