# SPDX-License-Identifier: Apache-2.0
"""A store is filled on purpose: ``make fill``.

``story`` has the steps, on a cloud whose storage node has small disks;
``place`` knows what the two stores differ in. The demo's modules do and look,
and its guest writes (lab/guest): see ``refused`` there.
"""
