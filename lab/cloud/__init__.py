# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on one machine: ``python -m lab cloud up``.

The control plane (MariaDB, RabbitMQ, keystone, glance, placement, neutron,
nova, cinder) runs natively in a network namespace of its own. ``storage``
(cinder-volume) and ``compute`` (nova-compute, libvirt, QEMU, iscsid) are
kernel nodes on a bridge in that namespace. Every service is the real,
unmodified program. All state lies in ``.lab/cloud``.

=============== =======================================================
``cli``         the commands
``api``         what other Python code may use
``up, down``    the orders of steps
``plan, wait``  running steps side by side, waiting with a deadline
``settings``    names, addresses, paths, options
``config``      one builder of configuration for each service
``services``    how each control plane service is started
``nodes``       the two kernel nodes; ``node/*.sh`` run inside of them
``database``    making the databases; ``seed`` fills them
``copy``        the kept copy of the seeded databases
``ready``       when a service counts as ready
``processes``   what was started, so that exactly that is ended
=============== =======================================================
"""
