# SPDX-License-Identifier: Apache-2.0
"""Take gateways away under a guest that writes: ``make takeover``.

A server has a volume that two gateways can serve, and writes numbered records
to it all the time. The gateway that serves it is lost in every way that there
is, another one takes over, and the lost one comes back.

========== =============================================================
``cases``  the ways to lose a gateway, and how it comes back
``owners`` who owns which target: in Ceph, and in the gateways' kernels
``story``  the steps
``table``  the results
========== =============================================================
"""
