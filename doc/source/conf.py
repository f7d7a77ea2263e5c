# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import importlib.metadata

extensions = ['oslo_config.sphinxext']
project = 'mydriver'
author = 'The mydriver authors'
version = release = importlib.metadata.version('mydriver')
root_doc = 'index'
html_theme = 'alabaster'
exclude_patterns: list[str] = []
nitpicky = True
man_pages = [
    ('man/mydriver', 'mydriver', 'check, restore and serve iSCSI exports',
     author, 8),
    ('man/mydriver-status', 'mydriver-status',
     'check a host before an upgrade', author, 8),
]
