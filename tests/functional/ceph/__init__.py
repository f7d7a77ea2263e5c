# SPDX-License-Identifier: Apache-2.0
"""Tests that need a kernel of their own and a Ceph.

Their stages of ``make test`` start a Ceph for each module, which the node
reaches over its network::

    python -m lab kernel run --ceph --disk 4G -- python -m unittest MODULE
"""
