# SPDX-License-Identifier: Apache-2.0
"""A tiny guest: Debian's cloud kernel and busybox on a bootable disk.

It needs no network: it says on its serial console what it sees, and acts on
what it sees. The lines, each ending in ``uptime=SECONDS length=N``, with the
length of the text between ``GUEST`` and ``length``::

    GUEST booted linux=RELEASE
    GUEST disk vda added bytes=N serial=S
    GUEST disk vda booted image=ID boots=N
    GUEST disk vdb added bytes=N serial=S
    GUEST disk vdb wrote token=UUID bytes=N sha256=SUM ok
    GUEST disk vdb verified token=UUID bytes=N sha256=SUM ok
    GUEST disk vdb resized from=N to=N
    GUEST disk vdb wrote-beyond token=UUID offset=N bytes=N sha256=SUM ok
    GUEST disk vdb removed
    GUEST disk vdb refused token=T slots=N slot_mib=N error=TEXT ok
    GUEST disk vdb filled token=T slots=N slot_mib=N ok
    GUEST disk vdb rewrote token=UUID bytes=N sha256=SUM ok

To a data disk that has no pattern it writes one, under a random token, flushes
it and reads it back from the device (``wrote``). On a disk that has one it
reads that and compares (``verified``). A disk that grows gets another one
behind its old end (``wrote-beyond``). ``BAD`` in place of ``ok`` says that
what was read is not what was written.

A disk whose first sector says ``mydriver-fill TOKEN`` is written to its end
(``filled``), slot after slot, all of them but the first with the same content.
Where a write fails it says so once (``refused``) and tries again and again.
``ok`` is for every eighth of the slots, read back. In both cases the other
disks' patterns are read (``verified``) and written to their places once more
(``rewrote``). The disk that it booted from counts its
boots, in a sector that no file system has.

The last four lines are repeated every few seconds: Nova's own reading of the
console may tear one.

``sector`` has a guest that does nothing, for many servers at little cost.
"""
