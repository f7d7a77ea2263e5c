# SPDX-License-Identifier: Apache-2.0
"""A tiny guest: Debian's cloud kernel and busybox on a bootable disk.

It needs no network: it reports the disks that it sees on its serial console,
and reads and writes them. Each line ends in ``uptime=SECONDS length=N``, where
N is the length of the text between ``GUEST`` and ``length``::

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
    GUEST disk vdb writes token=T count=N longest_ms=N ok
    GUEST disk vdb write failed error=TEXT

To a data disk without a pattern it writes one, with a random token, flushes it
and reads it back from the device (``wrote``). On a disk with a pattern it
reads that and compares (``verified``). On a disk that grows it writes another
one after the old end (``wrote-beyond``). ``BAD`` instead of ``ok`` means that
it has not read what was written.

A disk whose first sector has ``mydriver-fill TOKEN`` is filled to its end
(``filled``) in slots; all but the first have the same content. A failing write
is reported once (``refused``) and retried. ``ok`` is for every eighth slot,
which is read back. In both cases the patterns of the other disks are read
(``verified``) and written again (``rewrote``).

To a disk whose first sector has ``mydriver-write TOKEN`` it writes 4 KiB
records, one after the other, as long as the disk exists, and reads each back.
``writes`` has the number of records so far, and the longest time from one to
the next since the last such line. ``failed`` reports that a write returned an
error.

The boot disk counts its boots, in a sector outside the file system. The last
four lines are repeated every few seconds, since a line may be torn when Nova
reads the console.

``sector`` has a guest that does nothing, for many servers at little cost.
"""
