# SPDX-License-Identifier: Apache-2.0
"""Options of the Cinder driver, in the section of each backend.

Where Cinder has an option of its own for a thing, that one is used; see
:data:`USED_OF_CINDER`. Nothing here imports cinder: the sample file and the
``mydriver`` command do without it.
"""

from oslo_config import cfg

#: The section whose values all backends share
#: (cinder.volume.configuration.SHARED_CONF_GROUP).
SHARED_SECTION = 'backend_defaults'

#: Cinder's own options that the driver reads (cinder/volume/driver.py).
USED_OF_CINDER = (
    'volume_backend_name', 'target_prefix', 'target_ip_address',
    'target_secondary_ip_addresses', 'target_port', 'target_protocol',
    'use_chap_auth', 'max_over_subscription_ratio', 'reserved_percentage',
    'filter_function', 'goodness_function', 'volume_dd_blocksize',
    'report_discard_supported',
)

#: Our own.
VOLUME_OPTS = (
    cfg.StrOpt(
        'mydriver_store',
        default='reflink',
        choices=[
            ('reflink',
             ('Raw sparse files in a folder on XFS or btrfs. Snapshots and '
              'clones share extents with their source and are made in '
              'milliseconds. Needs nothing but the folder.')),
            ('lvmthin',
             ('Logical volumes in an LVM thin pool, exported as block '
              'devices. Snapshots of several volumes are of one moment. Needs '
              'a volume group, lvm2 and thin-provisioning-tools.')),
        ],
        help="""
Kind of store that keeps the bytes of volumes and snapshots.

It is chosen once: volumes are not carried over when it is changed.

Related options:

* ``mydriver_store_path``
"""),
    cfg.StrOpt(
        'mydriver_store_path',
        help="""
Where the store keeps volumes and snapshots. Required.

For the ``reflink`` store: absolute path of a folder on XFS (made with
``reflink=1``, the default of mkfs.xfs) or btrfs. The folder belongs to the
user that cinder-volume runs as, with mode 0750 or less. Use a filesystem that
holds nothing else: all of its room is reported to the scheduler.

For the ``lvmthin`` store: ``GROUP/POOL``, a volume group of LVM and a thin
pool in it, which zeroes new chunks and passes discards down; or ``GROUP``
alone, and a thin pool called ``mydriver`` is made in it, of all of its room
but what repairs and growth of the pool's metadata need.

Each backend needs a folder, or a pool, of its own.

Related options:

* ``mydriver_store``
* ``reserved_percentage``
* ``max_over_subscription_ratio``
"""),
    cfg.IntOpt(
        'mydriver_max_extents',
        default=30000,
        min=1,
        max=1000000,
        help="""
Number of extents up to which a volume in use is copied by ``reflink``.

A snapshot or clone on the ``reflink`` store takes its time by the extents of
the volume, not by its size, and all writes to the volume wait meanwhile: about
1 second at 10,000 extents, 4 at 44,000 and 9 at 150,000. Guests give up on a
disk after half a minute or so. Random writes of small blocks make extents, and
so do writes after a snapshot. Above this number, snapshots and clones of a
volume that is exported are refused; a volume that nobody uses is copied in any
case. ``mydriver status`` shows the volumes that have the most.

Related options:

* ``mydriver_store``
"""),
    cfg.BoolOpt(
        'mydriver_check_block_size',
        default=True,
        help="""
Refuse to move bytes to where the logical block size of disks is another.

Volumes of the ``reflink`` store show blocks of 512 bytes, those of ``lvmthin``
the logical blocks of the disks of the volume group, perhaps 4096 bytes.
Whoever uses a volume directly does not find the partitions of the one on the
other.

QEMU shows its guests 512-byte blocks in any case, unless a disk is passed
through (``hw_scsi_model`` and the device type ``lun``). Where all volumes of
the cloud are used by such guests, the check can be switched off: a warning is
logged then.

Related options:

* ``mydriver_store``
"""),
    cfg.StrOpt(
        'mydriver_state_path',
        default='$state_path/mydriver',
        help="""
Folder under which each backend keeps its state, in a folder of its own name.

In it are the journal of exports and mappings, from which ``mydriver restore``
rebuilds the target after a boot, and the key from which CHAP secrets are
derived. It is made with mode 0700 when it is missing. Keep it on a disk that
outlives a reboot, and keep copies of it as secret as passwords.

Related options:

* ``use_chap_auth``
"""),
    cfg.IntOpt(
        'mydriver_targets',
        default=4,
        min=1,
        max=64,
        help="""
Number of iSCSI targets that a backend spreads its volumes over.

A compute host has one session (one TCP connection a portal, served by one
pair of kernel threads) to each target that it uses volumes of. More targets
let one host move more data at a time; fewer make fewer sessions. Raising the
number is fine at any time: volumes stay where they are. After lowering it,
targets that are still in use are kept.

Related options:

* ``target_prefix``
* ``target_ip_address``
* ``target_secondary_ip_addresses``
* ``target_port``
"""),
    cfg.FloatOpt(
        'mydriver_discovery_timeout',
        default=2.0,
        min=0.1,
        max=60.0,
        help="""
Seconds that each portal has to answer when a volume is attached.

Before a volume is handed to a compute host, the driver asks every portal, all
at the same time, whether it offers the volume's target to that host. Portals
that do not answer in this time are left out of the answer to the host; when
none answers, the attach fails and is undone.

Related options:

* ``target_ip_address``
* ``target_secondary_ip_addresses``
"""),
)
