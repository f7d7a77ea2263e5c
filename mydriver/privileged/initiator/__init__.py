# SPDX-License-Identifier: Apache-2.0
"""The verbs that run as root on the compute host.

:mod:`.sessions`, :mod:`.devices` and :mod:`.multipath` hold the verbs. Their
arguments are primitives, since msgpack carries them, and each verb checks them
itself (:mod:`.values`, :mod:`.owned`): the caller is a service that tenants
talk to, and whoever takes that service over can call each verb with any
values. Only node records, sessions, disks and maps of ours are touched. A verb
that removes something takes the identity of the volume that is meant and
compares it again before it acts. Nothing that is returned or raised holds a
secret, since oslo.privsep logs it.
"""
