# SPDX-License-Identifier: Apache-2.0
"""The journal as objects in Ceph, shared by a cluster's services.

Each target of the pool is one object; a registry object lists them. Both hold
their content as omap keys (:mod:`.keys`) with values of JSON
(:mod:`.records`). See the chapter on the architecture.
"""
