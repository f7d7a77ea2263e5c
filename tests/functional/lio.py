# SPDX-License-Identifier: Apache-2.0
"""The kernel target of a node, for tests: used directly, and left empty."""

from pathlib import Path
import shutil
import tempfile
import unittest

from oslo_config import cfg
import rtslib_fb

from mydriver import privileged
from mydriver.privileged import grants
from mydriver.target import configfs


def use(test: unittest.TestCase) -> None:
    """Run privileged verbs in this very process.

    :raises AssertionError: outside of a kernel node with LIO.
    """
    if not configfs.ROOT.is_dir():
        raise AssertionError(
            'No kernel target here. Run the functional tests in a node: '
            'python -m lab kernel run --disk 4G -- python -m unittest ...')
    cfg.CONF([], project='mydriver', default_config_files=[])
    privileged.target_context.set_client_mode(False)
    test.addCleanup(privileged.target_context.set_client_mode, True)


def grant(test: unittest.TestCase, **backends: str) -> Path:
    """Give places to backends, in a file of root's as a daemon reads it.

    :param backends: ``mydriver_store_path`` of each, a directory or a group.
    :returns: the file.
    """
    folder = Path(tempfile.mkdtemp(dir='/run'))
    test.addCleanup(shutil.rmtree, folder)
    path = folder / 'cinder.conf'
    path.write_text(f'[DEFAULT]\nenabled_backends = {",".join(backends)}\n' + (
        ''.join(f'[{name}]\nvolume_driver = {grants.DRIVER}\n'
                f'mydriver_store_path = {place}\nmydriver_store = '
                f'{"reflink" if place.startswith("/") else "lvmthin"}\n'
                for name, place in backends.items())))
    cfg.CONF(['--config-file', str(path)], project='mydriver')
    return path


def clear() -> None:
    """Remove every target and backstore of the node."""
    for target in list(rtslib_fb.FabricModule('iscsi').targets):
        target.delete()
    core = configfs.ROOT / 'core'
    for store in core.glob('*_*/*'):
        if store.is_dir():
            store.rmdir()
    for hba in core.glob('*_*'):
        hba.rmdir()
    rtslib_fb.tcm.bs_cache.clear()  # it would take them for there still


def dump() -> dict[str, str]:
    """Return all of configfs that a test may compare: links and settings.

    Statistics and the state of sessions are left out.
    """
    found = {}
    for path in sorted(configfs.ROOT.rglob('*')):
        if {'statistics', 'fabric_statistics', 'info', 'hba_info',
                'alua'} & set(path.parts) or path.name.startswith('stat'):
            continue
        if path.is_symlink():
            found[str(path)] = str(path.resolve())
        elif path.is_dir():
            found[str(path)] = 'folder'
        else:
            try:
                found[str(path)] = path.read_text()
            except (OSError, UnicodeDecodeError) as e:
                found[str(path)] = type(e).__name__
    return found
