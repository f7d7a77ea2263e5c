# SPDX-License-Identifier: Apache-2.0
"""Options of the Cinder driver, in the section of each backend.

Where Cinder has an option for a setting, that one is used; see
:data:`USED_OF_CINDER`. This module does not import cinder, so that the sample
file and the ``mydriver`` command do not need it.
"""

from oslo_config import cfg

#: The section with defaults for all backends
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

#: The driver's own options.
VOLUME_OPTS = (
    cfg.StrOpt(
        'mydriver_store',
        default='reflink',
        choices=[
            ('reflink',
             ('Raw sparse files in a directory on XFS or btrfs. Snapshots and '
              'clones share extents with their source and are made in '
              'milliseconds. Only needs the directory.')),
            ('lvmthin',
             ('Logical volumes in an LVM thin pool, exported as block '
              'devices. Snapshots of a group are consistent with each other. '
              'Needs a volume group, lvm2 and thin-provisioning-tools.')),
        ],
        help="""
Kind of store that holds the data of volumes and snapshots.

Choose it once: volumes are not migrated when it changes.

Related options:

* ``mydriver_store_path``
"""),
    cfg.StrOpt(
        'mydriver_store_path',
        help="""
Where the store keeps volumes and snapshots. Required.

For the ``reflink`` store: absolute path of a directory on XFS (made
with ``reflink=1``, the default of mkfs.xfs) or btrfs. It belongs to the
user that cinder-volume runs as, with mode 0750 or less. Use a filesystem that
holds nothing else: all of its space is reported to the scheduler.

For the ``lvmthin`` store: ``GROUP/POOL``, an LVM volume group and a thin pool
in it that zeroes new chunks and passes discards down; or only ``GROUP``, in
which a thin pool ``mydriver`` is created from all of its space except what
repairs and growth of the pool's metadata need.

Each backend needs a directory, or a pool, of its own.

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
Most extents of a volume in use that ``reflink`` copies.

The duration of a snapshot or clone on the ``reflink`` store depends on the
number of extents of the volume, not on its size, and all writes to the volume
wait meanwhile: about 1 second at 10,000 extents, 4 at 44,000 and 9 at 150,000.
Guests time out after about half a minute. Small random writes create extents,
and so do writes after a snapshot. Above this number, snapshots and clones of
an exported volume are refused; a volume that is not in use is always copied.
``mydriver status`` shows the volumes with the most extents.

Related options:

* ``mydriver_store``
"""),
    cfg.BoolOpt(
        'mydriver_check_block_size',
        default=True,
        help="""
Refuse to copy data to disks with another logical block size.

Volumes of the ``reflink`` store have blocks of 512 bytes, those of ``lvmthin``
the logical block size of the disks of the volume group, which may be 4096
bytes. A host that uses a volume directly does not find partitions that were
written with another block size.

QEMU always presents 512-byte blocks to its guests, unless a disk is passed
through (``hw_scsi_model`` and the device type ``lun``). If such guests use all
volumes of the cloud, the check can be switched off; a warning is then logged
instead.

Related options:

* ``mydriver_store``
"""),
    cfg.StrOpt(
        'mydriver_state_path',
        default='$state_path/mydriver',
        help="""
Directory with the state of each backend, in a directory of the backend's name.

The state consists of the journal of exports and mappings, from which
``mydriver restore`` rebuilds the target after a boot, and of the key that CHAP
secrets derive from. It is created with mode 0700 if it does not exist.
Keep it on a persistent disk, and keep copies of it as secret as passwords.

Related options:

* ``use_chap_auth``
"""),
    cfg.IntOpt(
        'mydriver_targets',
        default=4,
        min=1,
        max=64,
        help="""
Number of iSCSI targets that a backend distributes its volumes over.

A compute host has one session (one TCP connection per portal, served by one
pair of kernel threads) to each target whose volumes it uses. More targets
increase the throughput of one host; fewer mean fewer sessions. The number can
be raised at any time: existing volumes stay on their targets. After it is
lowered, targets that are still in use are kept.

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
Seconds within which a portal has to answer when a volume is attached.

Before an attach completes, the driver asks all portals at the same time
whether they show the volume's target to the compute host. Portals that do not
answer in this time are left out of the answer to the host; if none answers,
the attach fails and is undone.

Related options:

* ``target_ip_address``
* ``target_secondary_ip_addresses``
"""),
)
