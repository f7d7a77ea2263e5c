# SPDX-License-Identifier: Apache-2.0
"""A minimal Ceph: a monitor, a manager and one OSD as ordinary processes.

They run in a network namespace, with all of their files in one directory, and
need Debian's packages ceph-mon, ceph-mgr, ceph-osd, python3-rados and
python3-rbd. The OSD keeps its data in a sparse file. There is one replica, so
this says nothing about Ceph's own redundancy.
"""
