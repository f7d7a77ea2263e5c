# SPDX-License-Identifier: Apache-2.0
"""A guest of one sector, for tests that need a server but no system in it.

In software emulation a system takes many seconds of a node's processor to
boot, and QEMU unplugs a device only after the guest has ejected it. This guest
does no more than that, in real mode, at each tick of the BIOS timer (QEMU,
docs/specs/acpi_pci_hotplug.rst, for machines of type ``pc``): it copies the
register of pending removals to that of ejections::

        cli
        xorw  %ax, %ax
        movw  %ax, %ss
        movw  $0x7c00, %sp
        sti
    1:  hlt
        movw  $0xae10, %dx      # select the first bus
        xorl  %eax, %eax
        outl  %eax, %dx
        movw  $0xae04, %dx      # a bit for each slot to be ejected
        inl   %dx, %eax
        testl %eax, %eax
        jz    1b
        movw  $0xae08, %dx
        outl  %eax, %dx
        jmp   1b
"""

from lab.guest import image

#: The code above, as the GNU assembler translates it with ``.code16``.
CODE = bytes.fromhex('fa 31c0 8ed0 bc007c fb f4 ba10ae 6631c0 66ef ba04ae 66ed'
                     '6685c0 74ed ba08ae 66ef ebe6')

#: There is a partition after the first MiB.
SIZE_BYTES = 2 << 20


def disk() -> bytes:
    """Return a disk that boots it.

    Glance rejects a disk with a boot signature and without a partition.
    """
    sector = (CODE.ljust(image.TABLE, b'\0')
              + image.partition(SIZE_BYTES)).ljust(510, b'\0') + b'\x55\xaa'
    return sector.ljust(SIZE_BYTES, b'\0')
