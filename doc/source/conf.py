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
