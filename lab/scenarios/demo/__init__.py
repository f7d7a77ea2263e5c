# SPDX-License-Identifier: Apache-2.0
"""Take a volume to servers through the public APIs: ``make demo``.

``story`` has the steps. Each prints what it did, its duration, and what the
guest's console, the target and the compute host showed.
"""
