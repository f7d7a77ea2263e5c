# SPDX-License-Identifier: Apache-2.0
"""Install the driver on hosts made anew: ``make install-test``.

============== =========================================================
``roots``      debootstrap, and what an operator already has; kept
``chroot``     commands in a root, with the machine's network
``given``      names, units and configuration before the installation
``host``       boots a root with its own systemd, and types commands
``documents``  the commands of README and of the installation page
``editing``    what an operator does in an editor
``installing`` type what the documents say
``looking``    what kernels, systemd and the driver's commands show
``removing``   remove it, by what the page says
``manifest``   a root's files, before and after
``story``      the steps
============== =========================================================
"""
