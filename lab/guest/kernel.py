# SPDX-License-Identifier: Apache-2.0
"""Download and unpack Debian's cloud kernel, without installing it."""

from collections.abc import Iterable
import lzma
from pathlib import Path
import re
import shutil
import subprocess

from lab import errors

#: Depends on the current kernel of the release.
_META = 'linux-image-cloud-amd64'


def _apt(*argv: str, cwd: Path | None = None) -> str:
    """Run a program of apt or dpkg; return its output."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True,
                              check=False)
    except FileNotFoundError as e:
        raise errors.MissingProgram(argv[0], 'apt') from e
    if done.returncode:
        raise errors.LabError(f'{" ".join(argv)}: {done.stderr.strip()}')
    return done.stdout


def package() -> str:
    """Return the name of the kernel's package.

    apt's lists are downloaded if they are missing.

    :raises LabError: when apt has no such package.
    """
    for attempt in range(2):
        found = re.search(r'Depends: (linux-image-\S+-cloud-amd64)',
                          _apt('apt-cache', 'depends', _META)
                          if _known(_META) else '')
        if found:
            return found[1]
        if not attempt:
            _apt('apt-get', '-q', 'update')
    raise errors.LabError(f'apt has no package {_META}: the guest image needs '
                          'Debian packages for amd64')


def _known(name: str) -> bool:
    return bool(_apt('apt-cache', 'pkgnames', name).split())


def unpack(folder: Path, name: str) -> Path:
    """Download the kernel's package and unpack it, unless that was done.

    :param folder: for the guest's parts.
    :param name: of the package.
    :returns: the directory that has its ``boot`` and ``lib/modules``.
    """
    root = folder / name
    if root.exists():
        return root
    scratch = folder / f'{name}.new'
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    # apt's own user cannot write here: apt would warn and continue as root.
    fetch = ('apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download',
             name)
    try:
        _apt(*fetch, cwd=scratch)
    except errors.LabError:
        # The lists may be out of date.
        _apt('apt-get', '-q', 'update')
        _apt(*fetch, cwd=scratch)
    archive = next(scratch.glob('*.deb'))
    _apt('dpkg-deb', '--extract', str(archive), str(scratch))
    archive.unlink()
    return scratch.rename(root)


def image(root: Path) -> bytes:
    """Return the kernel image of an unpacked package."""
    return next((root / 'boot').glob('vmlinuz-*')).read_bytes()


def modules(root: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return kernel modules and those that they depend on.

    :param root: an unpacked package.
    :param names: such as ``virtio_blk``; built-in ones are left out.
    :returns: file name -> content, in the order to load them.
    """
    tree = next((root / 'lib/modules').iterdir())
    built_in = {_name(line) for line in
                (tree / 'modules.builtin').read_text().splitlines()}
    paths = {_name(p.name): p for p in tree.rglob('*.ko*')}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in built_in or f'{name}.ko' in loaded:
            return
        if name not in paths:
            raise errors.LabError(f'{root.name} has no module {name}')
        data = paths[name].read_bytes()
        if paths[name].suffix == '.xz':
            data = lzma.decompress(data)
        for needed in _needs(data):
            load(needed)
        loaded[f'{name}.ko'] = data

    for name in names:
        load(name)
    return loaded


def _name(path: str) -> str:
    return path.rpartition('/')[2].partition('.ko')[0].replace('-', '_')


def _needs(module: bytes) -> list[str]:
    """Read a module's dependencies from its ``.modinfo`` section."""
    found = re.search(rb'\0depends=([^\0]*)\0', module)
    return found[1].decode().replace('-', '_').split(',') if (
        found and found[1]) else []
