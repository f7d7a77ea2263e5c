# SPDX-License-Identifier: Apache-2.0
"""Fill a store, and recover: ``make fill``.

``story`` has the steps, on a cloud whose storage node has small disks;
``place`` has what differs between the two stores. The guest fills a disk, see
``refused`` in lab/guest.
"""
