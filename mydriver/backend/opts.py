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
            ('rbd',
             ('Images in a pool of a Ceph cluster. Hosts use them over iSCSI '
              "or natively. Needs Ceph's Python modules and, for iSCSI, the "
              'kernel module rbd and ceph-common.')),
        ],
        help="""
Kind of store that holds the data of volumes and snapshots.

Choose it once: volumes are not migrated when it changes.

Related options:

* ``mydriver_store_path``
* ``mydriver_rbd_pool``
"""),
    cfg.StrOpt(
        'mydriver_store_path',
        help="""
Where the store keeps volumes and snapshots. Required, except for ``rbd``.

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
        'mydriver_rbd_pool',
        help="""
Ceph's pool with the volumes of the ``rbd`` store. Required for it.

The pool is initialised for RBD (``rbd pool init``) and belongs to this backend
alone: two backends with one pool are refused, and images of others in it are
offered to be managed. Its name has letters, digits, ``_``, ``-`` and ``.``.

Related options:

* ``mydriver_store``
* ``mydriver_rbd_user``
* ``mydriver_rbd_ceph_conf``
"""),
    cfg.StrOpt(
        'mydriver_rbd_user',
        default='cinder',
        help="""
Ceph's client that cinder-volume and the kernel are, without ``client.``.

Its key is in the keyring that Ceph's configuration names for it, by default
``/etc/ceph/ceph.client.USER.keyring``, readable for the user of cinder-volume.
It needs the capabilities ``mon 'profile rbd'``, ``mgr 'profile rbd'`` and
``osd 'profile rbd pool=POOL'``.

Related options:

* ``mydriver_rbd_pool``
"""),
    cfg.StrOpt(
        'mydriver_rbd_ceph_conf',
        default='/etc/ceph/ceph.conf',
        help="""
Ceph's configuration file, as an absolute path.

It has ``fsid`` and, in ``mon_host``, the addresses of the monitors. It must
belong to root, as cinder.conf must, since the kernel's client connects to
where it says.

Related options:

* ``mydriver_rbd_pool``
"""),
    cfg.IntOpt(
        'mydriver_rbd_max_clone_depth',
        default=10,
        min=2,
        max=14,
        help="""
Most ancestors that a volume of the ``rbd`` store shares data with.

A snapshot is a clone of its volume, and a volume from it a clone of the
snapshot. With more ancestors than this, a new volume is copied in full, which
takes as long as its data takes to be read and written. The kernel maps no
image with more than 16.

Related options:

* ``mydriver_rbd_pool``
"""),
    cfg.StrOpt(
        'mydriver_rbd_native',
        default='plugin',
        choices=[
            ('plugin',
             ('Hosts whose nova-compute says that it can: it runs this '
              "driver's plugin, its QEMU has the driver for rbd, and libvirt "
              'has the secret.')),
            ('always',
             ('Stock hosts as well. All of them need QEMU with the driver for '
              'rbd, and the libvirt secret. Services of Cinder that attach '
              'volumes themselves still prefer iSCSI.')),
            ('never', 'No host: all of them use iSCSI.'),
        ],
        help="""
Which hosts use volumes of a Ceph pool natively, without the iSCSI target.

Only read where the store is in Ceph. Natively, QEMU reads and writes the RBD
image itself (``driver_volume_type`` ``rbd``); no target and no gateway is
involved. The host then has a Ceph key for the whole pool.

A volume that is in use keeps its protocol, whatever this option says by then:
all of its hosts use the same one. A volume type can choose with the extra spec
``mydriver:protocol`` (``rbd`` or ``iscsi``).

Related options:

* ``mydriver_store``
* ``mydriver_rbd_secret_uuid``
"""),
    cfg.StrOpt(
        'mydriver_rbd_secret_uuid',
        regex='^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$',
        help="""
UUID of the libvirt secret with the Ceph key, on hosts with native access.

By default the id of the Ceph cluster (``ceph fsid``), as in Cinder's own RBD
driver. The secret is of type ``ceph``; its value is the key of the Ceph client
that the backend uses. nova.conf need not name it: what the backend says has
precedence there.

Related options:

* ``mydriver_rbd_native``
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
        sample_default=4,
        min=1,
        max=64,
        help="""
Number of iSCSI targets that a backend distributes its volumes over.

A compute host has one session (one TCP connection per portal, served by one
pair of kernel threads) to each target whose volumes it uses. More targets
increase the throughput of one host; fewer mean fewer sessions. The number can
be raised at any time: existing volumes stay on their targets. After it is
lowered, targets that are still in use are kept. The default is 4, or with
``mydriver_gateway_addresses`` the number of its entries.

Related options:

* ``mydriver_gateway_addresses``
* ``target_prefix``
* ``target_ip_address``
* ``target_secondary_ip_addresses``
* ``target_port``
"""),
    cfg.ListOpt(
        'mydriver_gateway_addresses',
        default=[],
        sample_default=['192.0.2.51', '192.0.2.52'],
        help="""
Floating addresses of the targets, if gateways serve this backend.

The list has one entry for each target of the pool, separated by commas. An
entry is an address, or several joined by ``+``, one for each network:
``192.0.2.51+198.51.100.51,192.0.2.52+198.51.100.52``. Each target is served by
one gateway at a time, which has the target's addresses then. So reserve them:
no host may have them configured, and each gateway must have an address of its
own in the same subnets.

Without gateways, the host of cinder-volume serves the targets at its own
addresses. Entries can be added at the end; never remove or reorder entries
while volumes are attached.

Related options:

* ``mydriver_store``
* ``mydriver_targets``
* ``mydriver_gateway_lease``
* ``mydriver_gateway_interface``
* ``mydriver_gateway_witnesses``
"""),
    cfg.IntOpt(
        'mydriver_gateway_lease',
        default=6,
        min=4,
        max=60,
        help="""
Seconds that a gateway owns a target after it last renewed its lease.

When a gateway fails, another one takes its targets over after this time; with
a shorter one sooner. A gateway that cannot reach Ceph for this long gives its
targets up.

Related options:

* ``mydriver_gateway_addresses``
"""),
    cfg.ListOpt(
        'mydriver_gateway_interface',
        default=[],
        sample_default=['eth1'],
        help="""
Network interfaces of a gateway that may get floating addresses.

By default an address is put on the interface that has an address of its own
in the same subnet. If several interfaces have one, name the right one here;
with several networks name one for each, separated by commas.

Related options:

* ``mydriver_gateway_addresses``
"""),
    cfg.ListOpt(
        'mydriver_gateway_witnesses',
        default=[],
        sample_default=['192.0.2.1'],
        help="""
Addresses in the initiators' network that a gateway has to reach.

A gateway that reaches none of them hands its targets over to one that does:
its lease alone only shows that it reaches Ceph. Name hosts that are always
there, such as the router and a controller; whether their TCP port is open does
not matter, only that a firewall does not swallow the attempt. Each is an
address, or ``ADDRESS:PORT`` with another port than ``target_port``. Without
witnesses, a gateway that only the initiators have lost keeps its targets.

Related options:

* ``mydriver_gateway_addresses``
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
