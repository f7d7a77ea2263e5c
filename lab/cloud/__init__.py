# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on one machine: ``python -m lab cloud up``.

The control plane (MariaDB, RabbitMQ, keystone, glance, placement, neutron,
nova, cinder) runs natively in a network namespace of its own. ``storage``
(cinder-volume) and ``compute`` (nova-compute, libvirt, QEMU, iscsid) are
kernel nodes on a bridge in that namespace. Every service is the unmodified
release. All state is in ``.lab/cloud``.

=============== =======================================================
``cli``         the commands
``api``         what other Python code may use
``up, down``    the order of the steps; ``starter`` has the steps
``steps``       run steps in parallel, wait, remember processes
``settings``    names, addresses, paths, options
``config``      one builder of configuration for each service
``control``     the control plane: services, databases, seeding
``node``        the two kernel nodes, and the scripts that run in them
``ready``       when a service counts as ready
=============== =======================================================
"""
