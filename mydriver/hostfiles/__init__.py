# SPDX-License-Identifier: Apache-2.0
"""The files that a host needs beside the package, and their installation.

``catalogue`` says which files a kind of host gets, ``planning`` compares them
with a root filesystem, ``installing`` and ``removing`` change it. A manifest
below :data:`.manifest.FOLDER` records what was made.
"""
