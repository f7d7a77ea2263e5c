# SPDX-License-Identifier: Apache-2.0
"""The LUNs of targets, for those who look every few seconds."""

import dataclasses
import re

from mydriver.privileged.target import links
from mydriver.target import configfs, directory

#: The plugin whose backstores have a block device.
_BLOCK = 'iblock'
_DEVICE = re.compile(rb'Major: (\d+) Minor: (\d+)')


@dataclasses.dataclass(frozen=True, slots=True)
class Lun:
    """A LUN of a TPG.

    :param folder: the name of its directory.
    :param export: the LUN and its backstore, without path and size.
    :param device: the numbers of the block device behind it, as text; None for
        a file.
    """

    folder: str
    export: configfs.SeenExport
    device: tuple[bytes, bytes] | None

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it was missing when it was read."""
        return bool(self.export.serial and (
            self.device or self.export.kind != _BLOCK))


class Luns:
    """Reads LUNs; what cannot change is read once.

    As long as a LUN has the same link, it leads to the same backstore, which
    keeps its device and its serial: LIO refuses another device for a backstore
    that is in use, and another serial for one that is exported
    (drivers/target/target_core_configfs.c, target_dev_enable_store and
    target_wwn_vpd_unit_serial_store). configfs gives each link an inode of its
    own, and keeps it in memory (fs/configfs/symlink.c, create_link).
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, int, int], Lun]] = {}

    def read(self, tpg: directory.Directory, core: directory.Directory
             ) -> list[Lun]:
        """Return the LUNs of a TPG that lead to a backstore.

        :param core: the directory of the backstores.
        :raises TargetError: when one of them cannot be read.
        """
        known, kept = self._known.get(tpg.path, {}), {}
        found = []
        for name in tpg.names('lun'):
            # If another link takes its place meanwhile, the next one to look
            # does not find this identity.
            of_link = tpg.identity(f'lun/{name}/{links.LINK}')
            lun = known.get((name, *of_link)) if of_link else None
            lun = lun or _lun(tpg, core, name)
            if lun:
                found.append(lun)
                if of_link and lun.is_whole:
                    kept[name, *of_link] = lun
        self._known.pop(tpg.path, None)
        if kept:
            self._known[tpg.path] = kept
        return found


def _lun(tpg: directory.Directory, core: directory.Directory, name: str
         ) -> Lun | None:
    to = tpg.link(f'lun/{name}')
    if not to:
        return None
    hba, backstore = to.split('/')[-2:]
    kind = hba.rpartition('_')[0]
    serial = core.read(f'{hba}/{backstore}/wwn/vpd_unit_serial')
    device = kind == _BLOCK and _DEVICE.search(
        core.read(f'{hba}/{backstore}/info', directory.PAGE_BYTES))
    return Lun(name, configfs.SeenExport(
        int(name[4:]), backstore, kind, serial.partition(b':')[2].strip(
            ).decode(errors='surrogateescape'), '', 0),
        (device[1], device[2]) if device else None)
