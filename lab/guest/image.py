# SPDX-License-Identifier: Apache-2.0
"""Make the guest's disk: MBR, a FAT partition, syslinux, kernel, busybox."""

import fcntl
import hashlib
from pathlib import Path
import shutil
import struct
import subprocess

from lab import errors, paths
from lab.guest import archive, kernel

#: The image and its parts.
FOLDER = paths.STATE / 'guest'

SIZE_BYTES = 32 << 20

_SECTOR = 512
#: The partition starts after the first MiB; only boot code is before it.
_START = 2048

#: Offset of the partition table in the first sector, bytes.
TABLE = 446

#: Sector with the image's id, which the guest prints (init.sh).
_ID_SECTOR = 2

_BUSYBOX = Path('/bin/busybox')
_BOOT_CODE = Path('/usr/lib/syslinux/mbr/mbr.bin')
_INIT = Path(__file__).with_name('init.sh')
_LOAD = Path(__file__).with_name('load.sh')

#: Modules that they depend on are added.
_MODULES = ('virtio_pci', 'virtio_blk')

#: The last options save time in software emulation.
_SYSLINUX = '''SERIAL 0 115200
PROMPT 0
DEFAULT guest
LABEL guest
  KERNEL vmlinuz
  INITRD initrd
  APPEND console=ttyS0 quiet panic=5 mitigations=off nokaslr tsc=reliable \
random.trust_cpu=on no_timer_check
'''


def path() -> Path:
    """Return the image's path."""
    return FOLDER / 'guest.raw'


def image_id(image: Path) -> str:
    """Return the id that a guest prints which booted from the image."""
    with image.open('rb') as f:
        f.seek(_ID_SECTOR * _SECTOR)
        return f.read(_SECTOR).rstrip(b'\0').decode()


def build() -> Path:
    """Make the image, unless it exists and was made from the same parts.

    :returns: its path.
    :raises LabError: when a part is not available.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(path())


def _build(image: Path) -> Path:
    for program, package in (('syslinux', 'syslinux'), ('mcopy', 'mtools'),
                             (_BUSYBOX, 'busybox-static'),
                             (_BOOT_CODE, 'syslinux-common')):
        if not (shutil.which(program) or Path(program).exists()):
            raise errors.MissingProgram(str(program), package)
    package = _package()
    wanted = _identity(package)
    if image.exists() and image_id(image) == wanted:
        return image
    scratch = FOLDER / 'scratch'
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    root = kernel.unpack(FOLDER, package)
    (scratch / 'vmlinuz').write_bytes(kernel.image(root))
    (scratch / 'initrd').write_bytes(_initramfs(root))
    (scratch / 'syslinux.cfg').write_text(_SYSLINUX)
    _write_disk(scratch / 'guest.raw', wanted)
    _fill(scratch / 'guest.raw', scratch)
    (scratch / 'guest.raw').replace(image)
    shutil.rmtree(scratch)
    return image


def _package() -> str:
    """Return the kernel's package: the one we have, else the current one."""
    at_hand = sorted(p.name for p in FOLDER.glob('linux-image-*')
                     if p.suffix != '.new')
    return at_hand[-1] if at_hand else kernel.package()


def _identity(package: str) -> str:
    """Return the image's id, a digest of all its parts."""
    digest = hashlib.sha256(package.encode())
    for part in (_BUSYBOX, _INIT, _LOAD, Path(__file__)):
        digest.update(part.read_bytes())
    return f'mydriver-guest-{digest.hexdigest()[:12]}'


def _initramfs(root: Path) -> bytes:
    modules = kernel.modules(root, _MODULES)
    files = {f'modules/{name}': (0o644, data)
             for name, data in modules.items()}
    files['modules/order'] = (0o644, ''.join(
        f'{name}\n' for name in modules).encode())
    files['bin/busybox'] = (0o755, _BUSYBOX.read_bytes())
    files['init'] = (0o755, _INIT.read_bytes())
    files['load.sh'] = (0o644, _LOAD.read_bytes())
    return archive.initramfs(files)


def _write_disk(image: Path, identity: str) -> None:
    """Write boot code, partition table and id to an empty disk."""
    with image.open('wb') as f:
        f.truncate(SIZE_BYTES)
        f.write(_BOOT_CODE.read_bytes()[:440])
        f.seek(TABLE)
        f.write(partition(SIZE_BYTES))
        f.seek(510)
        f.write(b'\x55\xaa')
        f.seek(_ID_SECTOR * _SECTOR)
        f.write(identity.encode())


def partition(size_bytes: int) -> bytes:
    """Return the partition table's entry for a disk of a size.

    Active; type 0x0e is FAT16 with LBA; the CHS fields are ignored.
    """
    return struct.pack('<B3sB3sII', 0x80, b'\xfe\xff\xff', 0x0e,
                       b'\xfe\xff\xff', _START, _sectors(size_bytes))


def _sectors(size_bytes: int) -> int:
    return size_bytes // _SECTOR - _START


def _fill(image: Path, folder: Path) -> None:
    """Make the FAT file system, copy the files, make it bootable."""
    offset = _START * _SECTOR
    drive = f'{image}@@{offset}'
    _run('mformat', '-i', drive, '-v', 'GUEST',
         '-T', str(_sectors(SIZE_BYTES)), '-h', '16', '-s', '63',
         '-H', str(_START), '::')
    _run('mcopy', '-i', drive,
         *(str(folder / n) for n in ('vmlinuz', 'initrd', 'syslinux.cfg')),
         '::')
    _run('syslinux', '--offset', str(offset), '--install', str(image))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.LabError(f'{" ".join(argv)}: {done.stdout}{done.stderr}')
