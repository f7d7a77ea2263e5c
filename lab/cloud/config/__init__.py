# SPDX-License-Identifier: Apache-2.0
"""Configuration: a builder for each service.

A builder takes a :class:`~lab.cloud.site.Site` and returns sections, a dict of
dicts; :mod:`lab.cloud.config.write` writes them to files.
"""
