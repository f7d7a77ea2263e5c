# SPDX-License-Identifier: Apache-2.0
"""Prepare a Debian 12 machine for the lab: packages, then environments.

Standard library only: it runs before anything is installed, on any
``python3``. Each step checks first and does only what is missing, so that a
second run takes a fraction of a second.

Outside ``.lab/`` it only installs Debian packages. None of their services is
left running or enabled: see :func:`.debian.no_services`.
"""
