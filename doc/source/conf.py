# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documentation."""

import importlib.metadata
import logging

extensions = ['openstackdocstheme', 'oslo_config.sphinxext']
project = 'mydriver'
author = 'The mydriver authors'
version = release = importlib.metadata.version('mydriver')
root_doc = 'index'
html_theme = 'openstackdocs'
html_theme_options = {
    # Readers are not counted, and no page loads anything from elsewhere:
    # see also _templates.
    'analytics_tracking_code': '',
    'display_badge': False,
    'root_title': project,
    'sidebar_search': True,
}
openstackdocs_auto_name = False
openstackdocs_auto_version = False
templates_path = ['_templates']
html_static_path = ['_static']
html_css_files = ['mydriver.css']
exclude_patterns: list[str] = []
# Most blocks are shell commands, configuration files, or output.
highlight_language = 'none'
# Quotes, but no dashes: options begin with two hyphens.
smartquotes_action = 'qe'
nitpicky = True
man_pages = [
    ('man/mydriver', 'mydriver', 'check, restore and serve iSCSI exports',
     author, 8),
    ('man/mydriver-status', 'mydriver-status',
     'check a host before an upgrade', author, 8),
]


def _is_about_documents(record: logging.LogRecord) -> bool:
    """Tell whether a message is about more than a missing repository.

    The theme warns when it cannot ask git for the revision, which no page
    shows. A source distribution has to build without git.
    """
    return 'gitsha' not in record.getMessage()


logging.getLogger('sphinx.openstackdocstheme.ext').addFilter(
    _is_about_documents)
