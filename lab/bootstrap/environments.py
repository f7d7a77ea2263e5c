# SPDX-License-Identifier: Apache-2.0
"""The two virtual environments below ``.lab``."""

import hashlib
from pathlib import Path
import re
import subprocess
import sys

from lab.bootstrap import steps
from lab.bootstrap.steps import ROOT, STATE

VENV = STATE / 'venv'
STAMP = VENV / 'mydriver-lab.stamp'
CONSTRAINTS = ROOT / 'constraints.txt'
#: Of the lab, and of the tests and checks.
REQUIREMENTS = (ROOT / 'lab' / 'requirements.txt',
                ROOT / 'test-requirements.txt')
#: An environment that has neither cinder nor nova, and its requirements.
ENGINE = STATE / 'engine'
ENGINE_REQUIREMENTS = ROOT / 'tests' / 'unit' / 'requirements.txt'

#: Debian's packages for Python, and what the environments take from them.
DEBIAN_MODULES = Path('/usr/lib/python3/dist-packages')
CEPH_MODULES = ('rados', 'rbd')

#: The virtual environment is updated when one of these changes.
INPUTS = (CONSTRAINTS, *REQUIREMENTS, ENGINE_REQUIREMENTS,
          ROOT / 'pyproject.toml', ROOT / 'setup.cfg',
          ROOT / 'lab' / 'bootstrap' / 'environments.py')


def pick_python() -> str:
    """Return the interpreter for the environment: Debian's own if possible.

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


def stamp() -> str:
    """Return a text that changes when the environment has to be updated."""
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.read_bytes() + b'\0')
    config = VENV / 'pyvenv.cfg'
    version = re.search(r'^version *= *(\S+)', config.read_text(), re.M) \
        if config.exists() else None
    return (f'{digest.hexdigest()} python {version[1] if version else "-"} '
            f'{ROOT}\n')


def venv_works(venv: Path) -> bool:
    """Tell whether an environment's interpreter works at its path."""
    python = venv / 'bin' / 'python'
    if not python.exists():
        return False
    probe = subprocess.run(
        [str(python), '-c', 'import sys; print(sys.prefix)'],
        capture_output=True, text=True, check=False)
    return probe.returncode == 0 and probe.stdout.strip() == str(venv)


def pinned(name: str) -> str:
    """Return ``NAME==VERSION`` as ``constraints.txt`` has it.

    :raises steps.BootstrapError: when it is not pinned.
    """
    for line in CONSTRAINTS.read_text().splitlines():
        if line.startswith(f'{name}=='):
            return line.strip()
    raise steps.BootstrapError(f'{CONSTRAINTS.name} does not pin {name}')


def make_venv(venv: Path) -> None:
    """Create an environment if it is missing or broken."""
    if venv_works(venv):
        return
    with steps.step(f'creating .lab/{venv.name}'):
        steps.run(pick_python(), '-m', 'venv', '--clear', str(venv))


def fill_venvs() -> None:
    """Install the pinned sets, and the project itself in editable mode.

    Settings of pip and uv in the environment apply.
    """
    with steps.step('installing uv'):
        steps.run(str(VENV / 'bin' / 'python'), '-m', 'pip', 'install', '-q',
            pinned('uv'))
    with steps.step('installing the pinned set'):
        install(VENV, 'storage,compute', *REQUIREMENTS)
    with steps.step('installing the engine without cinder and nova'):
        install(ENGINE, 'storage', ENGINE_REQUIREMENTS)


def install(venv: Path, extras: str, *requirements: Path) -> None:
    """Install requirements, then the project, into an environment.

    Byte code is compiled once, here: kernel nodes start Python often, and
    slowly.

    :param extras: those of the project, separated by commas.
    :param requirements: files; they name what builds the project, too.
    """
    command = (str(VENV / 'bin' / 'uv'), 'pip', 'install', '--python',
               str(venv / 'bin' / 'python'), '--compile-bytecode',
               '-c', str(CONSTRAINTS), '--build-constraint', str(CONSTRAINTS))
    steps.run(*command, *(word for path in requirements
                    for word in ('-r', str(path))))
    steps.run(*command, '--no-build-isolation', '-e', f'{ROOT}[{extras}]')


def link_ceph() -> None:
    """Let both environments import Debian's modules of librados and librbd.

    They are on no package index. Only these two are linked, not the whole of
    Debian's packages, which could hide a requirement that is missing.

    :raises steps.BootstrapError: when Debian's are for another Python.
    """
    tag = subprocess.run(
        [str(VENV / 'bin' / 'python'), '-c',
         'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))'],
        capture_output=True, text=True, check=True).stdout.strip()
    for name in CEPH_MODULES:
        source = DEBIAN_MODULES / f'{name}{tag}'
        if not source.exists():
            raise steps.BootstrapError(
                f'{source} is missing: python3-{name} is for another version '
                'of Python than the environment')
        for venv in (VENV, ENGINE):
            for folder in venv.glob('lib/python3*/site-packages'):
                link = folder / source.name
                if not link.is_symlink():
                    link.symlink_to(source)


def update() -> None:
    """Bring both environments up to date, if anything has changed."""
    venvs = (VENV, ENGINE)
    if (STAMP.exists() and STAMP.read_text() == stamp()
            and all(map(venv_works, venvs))):
        return
    for venv in venvs:
        make_venv(venv)
    STAMP.unlink(missing_ok=True)
    fill_venvs()
    link_ceph()
    STAMP.write_text(stamp())
