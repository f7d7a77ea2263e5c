# SPDX-License-Identifier: Apache-2.0
"""The main job, done through the public APIs and proven: ``make demo``.

``story`` has the steps; each says what it did, how long it took, and what the
guest's console, the target and the compute host showed.
"""
