# SPDX-License-Identifier: Apache-2.0
"""A root filesystem in a temporary directory."""

import os
from pathlib import Path
import shutil
import stat
import tempfile
import unittest

from mydriver.hostfiles import catalogue, choices, installing, manifest
from mydriver.hostfiles import root as roots

#: What each path of a tree is: kind and mode, and content or target.
Tree = dict[str, tuple[str, str]]


class RootTestCase(unittest.TestCase):
    """A test with a root filesystem, which has what each system has."""

    def setUp(self) -> None:
        """Create it."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix='mydriver-'))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ('etc/sudoers.d', 'etc/systemd/system', 'var/lib'):
            (self.folder / name).mkdir(parents=True)
        self.root = roots.Root(str(self.folder))

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the root by other means."""
        file = self.folder / path.lstrip('/')
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            file.chmod(0o600)
        file.write_text(text)
        file.chmod(mode)

    def get(self, path: str) -> str:
        """Return the content of a file of the root."""
        return (self.folder / path.lstrip('/')).read_text()

    def is_there(self, path: str) -> bool:
        """Tell whether a path of the root exists."""
        return os.path.lexists(self.folder / path.lstrip('/'))

    def tree(self) -> Tree:
        """Return everything that is in the root."""
        found = {}
        for file in sorted(self.folder.rglob('*')):
            status = file.lstat()
            if file.is_symlink():
                content = str(file.readlink())
            else:
                content = '' if file.is_dir() else file.read_text()
            found[str(file.relative_to(self.folder))] = (
                stat.filemode(status.st_mode), content)
        return found


class SetupTestCase(RootTestCase):
    """A test that installs and removes what a host needs."""

    #: What most tests choose.
    KIND = choices.STORAGE
    OPTIONS: dict[str, object] = {'bindir': '/opt/cinder/bin'}

    def install(self, kind: str = KIND, force: bool = False,
                **options: object) -> installing.Done:
        """Install; options are added to those above."""
        merged = {**self.OPTIONS, **options}
        chosen = choices.choose(kind, merged)
        made = manifest.load(self.root, kind) or manifest.Manifest(kind)
        made.options = merged
        return installing.install(
            self.root, made, catalogue.files(chosen),
            catalogue.folders(chosen), force)

    def made(self, kind: str = KIND) -> manifest.Manifest:
        """Return what is recorded."""
        found = manifest.load(self.root, kind)
        assert found is not None
        return found
