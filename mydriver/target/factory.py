# SPDX-License-Identifier: Apache-2.0
"""Assemble an export service: state, keys, journal and LIO."""

import functools
import os
import uuid

from oslo_log import log as logging

from mydriver import exception
from mydriver.target import chap, devices, exports, lio, pool, state
from mydriver.target.journal import sqlite

LOG = logging.getLogger(__name__)


@functools.cache
def run_id() -> str:
    """Return an id that distinguishes this run from earlier ones."""
    return uuid.uuid4().hex


def build(settings: pool.Settings, its_devices: devices.Devices, *,
          replace_damaged: bool = False) -> exports.ExportService:
    """Assemble the export service of a backend.

    :param its_devices: brings up what is exported.
    :param replace_damaged: set a damaged journal aside and start a new one:
        only for callers that ask Cinder afterwards what the new one lacks.
        Others get a copy in memory of a journal that cannot be written.
    :raises ConfigurationError: when the state directory cannot be used.
    :raises JournalError: when the journal cannot be used.
    """
    state.prepare(settings.state_path, to_write=replace_damaged)
    keys = _keys(settings, is_strict=replace_damaged)
    journal = sqlite.open_in(settings.state_path, run_id(),
                             replace_damaged=replace_damaged)
    target = lio.of_backend(settings)
    return exports.ExportService(settings, journal, target, keys,
                                 target.name_prefix, its_devices)


def _keys(settings: pool.Settings, *, is_strict: bool
          ) -> chap.KeyRing | None:
    """Return the keys of a backend, None when there never were any.

    :param is_strict: there will be new mappings, which need the current key.
    :raises ConfigurationError: when that key cannot be used.
    """
    path = os.path.join(settings.state_path, chap.KEY_FILE)
    if not (settings.chap or os.path.exists(path)):
        return None
    try:
        return chap.KeyRing.load(settings.state_path)
    except exception.ConfigurationError as e:
        if is_strict and settings.chap:
            raise
        LOG.error('Backend %s: %s Existing mappings use the copies of its '
                  'keys, as far as they exist.', settings.backend, e)
        return chap.KeyRing.load_kept(settings.state_path)
