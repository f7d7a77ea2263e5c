# SPDX-License-Identifier: Apache-2.0
"""An upgrade of the driver and the way back: ``make upgrade FROM=REV``.

The cloud starts with the driver's code of an earlier revision. Then
cinder-volume, nova-compute and their privileged daemons are restarted with the
working tree's code, and later with the earlier code again, while a guest
writes to a volume all the time. State, kernel objects and attachments are
those that the other code has made.

=========== ============================================================
``source``  the code of an earlier revision
``running`` runs in a node, prints which code its processes run
``code``    compares that with the code that must run
``story``   the steps
=========== ============================================================
"""
