# SPDX-License-Identifier: Apache-2.0
"""One builder of configuration for each service.

A builder takes a :class:`~lab.cloud.site.Site` and returns sections, a dict
of dicts; :mod:`lab.cloud.config.write` makes files of them.
"""
