# SPDX-License-Identifier: Apache-2.0
"""The virtual environments below ``.lab``."""

from collections.abc import Sequence
import dataclasses
import hashlib
from pathlib import Path
import re
import subprocess
import sys

from lab.bootstrap import releases, steps
from lab.bootstrap.steps import ROOT, STATE

CONSTRAINTS = ROOT / 'constraints.txt'

#: Debian's packages for Python, and what the environments take from them.
DEBIAN_MODULES = Path('/usr/lib/python3/dist-packages')
CEPH_MODULES = ('rados', 'rbd')

#: An environment is updated when one of these changes, or one of its own.
INPUTS = (CONSTRAINTS, ROOT / 'pyproject.toml', ROOT / 'setup.cfg',
          ROOT / 'lab' / 'bootstrap' / 'environments.py')


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment.

    :param venv: its directory.
    :param what: what is installed, for the line of progress.
    :param extras: those of the project, separated by commas.
    :param requirements: files.
    :param constraints: file with the versions.
    :param compiled: whether byte code is compiled when it is made.
    :param isolated: whether the project is built in an environment of its
        own. Otherwise the requirements name what builds it.
    """

    venv: Path
    what: str
    extras: str
    requirements: tuple[Path, ...]
    constraints: Path = CONSTRAINTS
    compiled: bool = True
    isolated: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.venv / 'bin' / 'python'

    @property
    def stamp_file(self) -> Path:
        """The file that says what it was made from."""
        return self.venv / 'mydriver-lab.stamp'

    def stamp(self) -> str:
        """Return a text that changes when it has to be updated."""
        digest = hashlib.sha256()
        for path in (*INPUTS, self.constraints, *self.requirements):
            digest.update(path.read_bytes() + b'\0')
        config = self.venv / 'pyvenv.cfg'
        version = re.search(r'^version *= *(\S+)', config.read_text(), re.M) \
            if config.exists() else None
        return (f'{digest.hexdigest()} python '
                f'{version[1] if version else "-"} {ROOT}\n')

    def works(self) -> bool:
        """Tell whether its interpreter works at its path."""
        if not self.python.exists():
            return False
        probe = subprocess.run(
            [str(self.python), '-c', 'import sys; print(sys.prefix)'],
            capture_output=True, text=True, check=False)
        return probe.returncode == 0 and (
            probe.stdout.strip() == str(self.venv))

    def is_current(self) -> bool:
        """Tell whether it works, and nothing has changed since it was made."""
        return (self.stamp_file.exists()
                and self.stamp_file.read_text() == self.stamp()
                and self.works())


#: Requirements of the lab.
LAB = ROOT / 'lab' / 'requirements.txt'

#: The lab's, with the tests and checks.
DEFAULT = Environment(
    STATE / 'venv', 'the pinned set', 'storage,compute',
    (LAB, ROOT / 'test-requirements.txt'))

#: The one that has neither cinder nor nova.
ENGINE = Environment(
    STATE / 'engine', 'the engine without cinder and nova', 'storage',
    (ROOT / 'tests' / 'unit' / 'requirements.txt',))


def lab(release: str) -> Environment:
    """Return the lab's environment of a release.

    The project is built apart: pbr of older releases does not read its
    version.

    :raises steps.BootstrapError: when there is no such release.
    """
    constraints = releases.constraints(release)
    if release == releases.DEFAULT:
        return DEFAULT
    return Environment(
        STATE / f'venv-{release}', f'the pinned set of {release}',
        'storage,compute', (LAB,), constraints, isolated=True)


def unit(release: str) -> Environment:
    """Return the environment of the unit tests with one more release.

    It has much less than the lab's, and no byte code: the tests need a small
    part of it, and none of them runs in a kernel node.
    """
    tests = ROOT / 'tests'
    return Environment(
        STATE / f'unit-{release}', f'the unit tests with {release}',
        'storage,compute',
        (tests / 'requirements.txt', tests / 'unit' / 'requirements.txt'),
        releases.constraints(release), compiled=False, isolated=True)


def pick_python() -> str:
    """Return the interpreter for the environments: Debian's if possible.

    libvirt-python is built against Debian's headers, and Debian's python3 is
    the same on each machine.

    :raises steps.BootstrapError: when none is new enough.
    """
    question = ('import sys, ensurepip, venv; '
                'sys.exit(sys.version_info < (3, 11))')
    for path in ('/usr/bin/python3', sys.executable):
        if not Path(path).exists():
            continue
        probe = subprocess.run([path, '-c', question], capture_output=True,
                               check=False)
        if probe.returncode == 0:
            return path
    raise steps.BootstrapError(
        'no python3 of at least 3.11 with venv was found')


def pinned(name: str, constraints: Path = CONSTRAINTS) -> str:
    """Return ``NAME==VERSION`` as a file of constraints has it.

    :raises steps.BootstrapError: when it is not pinned.
    """
    for line in constraints.read_text().splitlines():
        if line.startswith(f'{name}=='):
            return line.strip()
    raise steps.BootstrapError(f'{constraints.name} does not pin {name}')


def install(one: Environment, uv: Path) -> None:
    """Install requirements, then the project in editable mode.

    Byte code is compiled once, here: kernel nodes start Python often, and
    slowly. Packages without a wheel are built alike for all releases, so that
    uv finds them in its cache.

    :param uv: the program.
    """
    command = (str(uv), 'pip', 'install', '--python', str(one.python),
               *(['--compile-bytecode'] if one.compiled else []),
               '-c', str(one.constraints),
               '--build-constraint', str(CONSTRAINTS))
    with steps.step(f'installing {one.what}'):
        steps.run(*command, *(word for path in one.requirements
                              for word in ('-r', str(path))))
        steps.run(*command,
                  *([] if one.isolated else ['--no-build-isolation']),
                  '-e', f'{ROOT}[{one.extras}]')


def link_ceph(one: Environment) -> None:
    """Let an environment import Debian's modules of librados and librbd.

    They are on no package index. Only these two are linked, not the whole of
    Debian's packages, which could hide a requirement that is missing.

    :raises steps.BootstrapError: when Debian's are for another Python.
    """
    tag = subprocess.run(
        [str(one.python), '-c',
         'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))'],
        capture_output=True, text=True, check=True).stdout.strip()
    for name in CEPH_MODULES:
        source = DEBIAN_MODULES / f'{name}{tag}'
        if not source.exists():
            raise steps.BootstrapError(
                f'{source} is missing: python3-{name} is for another version '
                'of Python than the environment')
        for folder in one.venv.glob('lib/python3*/site-packages'):
            link = folder / source.name
            if not link.is_symlink():
                link.symlink_to(source)


def update(group: Sequence[Environment]) -> None:
    """Bring environments up to date, if anything has changed.

    Settings of pip and uv in the environment apply.

    :param group: those to update; the first one gets the uv that all use.
    """
    old = [one for one in group if not one.is_current()]
    if not old:
        return
    for one in old:
        one.stamp_file.unlink(missing_ok=True)
        if not one.works():
            with steps.step(f'creating .lab/{one.venv.name}'):
                steps.run(pick_python(), '-m', 'venv', '--clear',
                          str(one.venv))
    uv = group[0].venv / 'bin' / 'uv'
    if group[0] in old or not uv.exists():
        with steps.step('installing uv'):
            steps.run(str(group[0].python), '-m', 'pip', 'install', '-q',
                      pinned('uv'))
    for one in old:
        # What changes from now on may not be installed.
        stamp = one.stamp()
        install(one, uv)
        link_ceph(one)
        one.stamp_file.write_text(stamp)
