# SPDX-License-Identifier: Apache-2.0
"""A guest of one sector, for tests that want a server but nothing in it.

A system takes many seconds of a node's processor to boot in software
emulation, and QEMU lets go of a device that is unplugged only when the guest
has let go of it. That is all that this one does, in real mode, at each tick of
the BIOS's timer (QEMU, docs/specs/acpi_pci_hotplug.rst, for machines of type
``pc``): what is asked for in the register of pending removals it writes to
that of ejections::

        cli
        xorw  %ax, %ax
        movw  %ax, %ss
        movw  $0x7c00, %sp
        sti
    1:  hlt
        movw  $0xae10, %dx      # select the first bus
        xorl  %eax, %eax
        outl  %eax, %dx
        movw  $0xae04, %dx      # a bit for each slot that is to be emptied
        inl   %dx, %eax
        testl %eax, %eax
        jz    1b
        movw  $0xae08, %dx
        outl  %eax, %dx
        jmp   1b
"""

from lab.guest import image

#: The above, as the GNU assembler has it with ``.code16``.
CODE = bytes.fromhex('fa 31c0 8ed0 bc007c fb f4 ba10ae 6631c0 66ef ba04ae 66ed'
                     '6685c0 74ed ba08ae 66ef ebe6')

#: There is a partition behind the first MiB.
SIZE_BYTES = 2 << 20


def disk() -> bytes:
    """Return a disk that boots it.

    Glance takes no disk that has a boot sector's signature and no partition.
    """
    sector = (CODE.ljust(image.TABLE, b'\0')
              + image.partition(SIZE_BYTES)).ljust(510, b'\0') + b'\x55\xaa'
    return sector.ljust(SIZE_BYTES, b'\0')
