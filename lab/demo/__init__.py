# SPDX-License-Identifier: Apache-2.0
"""The main job, done through the public APIs and proven: ``make demo``.

``story`` has the steps; each says what it did, how long it took, and what the
guest's console, the target and the compute host showed. ``probe`` runs in the
nodes and reads their kernels without any code of the driver; ``observe`` asks
it. ``openstack`` and ``console`` do and wait; ``report`` prints and counts.
"""
