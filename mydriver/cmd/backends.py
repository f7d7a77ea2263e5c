# SPDX-License-Identifier: Apache-2.0
"""The backends of ours in cinder.conf, read without cinder.

At boot ``mydriver restore`` has to be quick, and cinder takes its time to
load. So the few options of Cinder's that matter are declared here again, as
cinder/volume/driver.py and cinder/common/config.py have them; a test compares
the two.
"""

from collections.abc import Mapping, Sequence
import contextlib
import copy
import dataclasses
import os
from pathlib import Path
import stat
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import netutils

from mydriver import exception
from mydriver.backend import opts, settings
from mydriver.target import pool, state
from mydriver.target.journal import sqlite

#: ``volume_driver`` of our backends.
DRIVER = 'mydriver.cinder_volume.driver.LIODriver'

#: As in cinder/common/config.py.
GLOBAL_OPTS = (
    cfg.StrOpt('state_path', default='/var/lib/cinder'),
    cfg.HostAddressOpt('my_ip', default=netutils.get_my_ipv4()),
    cfg.ListOpt('enabled_backends'),
)

#: As in cinder/volume/driver.py and cinder/volume/manager.py.
BACKEND_OPTS = (
    cfg.StrOpt('volume_driver',
               default='cinder.volume.drivers.lvm.LVMVolumeDriver'),
    cfg.StrOpt('target_prefix', default='iqn.2010-10.org.openstack:'),
    cfg.StrOpt('target_ip_address', default='$my_ip'),
    cfg.ListOpt('target_secondary_ip_addresses', default=[],
                deprecated_name='iscsi_secondary_ip_addresses'),
    cfg.PortOpt('target_port', default=3260),
    cfg.StrOpt('target_protocol', default='iscsi',
               choices=['iscsi', 'iser', 'nvmet_rdma', 'nvmet_tcp']),
    cfg.BoolOpt('use_chap_auth', default=False),
)


LOG = logging.getLogger(__name__)


class Section:
    """A backend's options: its own section, then the shared one.

    The same rule as cinder.volume.configuration.BackendGroupConfiguration.

    :param conf: parsed already.
    :param name: of the backend's section.
    """

    def __init__(self, conf: cfg.ConfigOpts, name: str) -> None:
        self._conf = conf
        self._name = name
        for opt in (*BACKEND_OPTS, *opts.VOLUME_OPTS):
            conf.register_opt(opt, group=opts.SHARED_SECTION)
            own = copy.deepcopy(opt)
            own.default = None
            conf.register_opt(own, group=name)

    def safe_get(self, value: str) -> Any:
        """Return an option's value, None where there is no such option.

        :raises ConfigurationError: when the file has a value that is none.
        """
        try:
            own = self._conf[self._name][value]
            if own is not None:
                return own
            return self._conf[opts.SHARED_SECTION][value]
        except cfg.NoSuchOptError:
            return None
        except cfg.Error as e:
            raise exception.ConfigurationError(
                f'[{self._name}] {value}', str(e),
                'Mend it in the configuration file.') from e


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """A backend of ours.

    :param name: of its section.
    :param section: its options.
    """

    name: str
    section: Section

    @property
    def settings(self) -> pool.Settings:
        """What its export service takes.

        :raises ConfigurationError: for the first setting that is wrong.
        """
        return settings.of_service(self.section, self.name)

    @property
    def state_path(self) -> str:
        """The folder of its state.

        :raises ConfigurationError: when it is not set as it should be.
        """
        return settings.state_path(self.section, self.name)

    @property
    def journal_path(self) -> str:
        """The file of its journal (see :func:`service.build`)."""
        return os.path.join(self.state_path, sqlite.FILE_NAME)

    def has_journal(self) -> bool:
        """Tell whether there is a journal, which this user can read.

        :raises ConfigurationError: when this user cannot tell, or when it is
            not to be trusted.
        """
        path = self.journal_path
        user = f'user id {os.geteuid()}'
        try:
            owner, _group = state.owner(self.state_path)
            if owner and not os.geteuid():
                raise PermissionError(
                    None, f'its folder belongs to user id {owner}, and root '
                    'would leave files there that this user cannot open')
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise OSError(None, 'it is no regular file')
            if not os.access(path, os.R_OK):
                raise PermissionError(None, f'{user} cannot read it')
        except FileNotFoundError:
            return False
        except OSError as e:
            raise exception.ConfigurationError(
                'mydriver_state_path', f'{path}: {e.strerror} ({user})',
                'Run this as root, or as the user that cinder-volume runs '
                'as, to whom the folders of all backends have to belong.'
            ) from e
        return True


def read(files: Sequence[str], names: Sequence[str] = (),
         folders: Sequence[str] = ()) -> list[Backend]:
    """Return our backends.

    oslo.privsep's sections are read from the same files.

    :param files: configuration files; none means where cinder-volume looks.
    :param names: of the wanted ones; none means all that are enabled.
    :param folders: of further files, ``*.conf``.
    :raises ConfigurationError: when a file, or a backend, is not there, or
        when there is no backend of ours at all.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(GLOBAL_OPTS)
    for one in (conf, cfg.CONF):
        try:
            one([*(f'--config-file={f}' for f in files),
                 *(f'--config-dir={f}' for f in folders)], project='cinder',
                prog='cinder-volume')
        except cfg.Error as e:
            raise exception.ConfigurationError(
                '--config-file, --config-dir', str(e),
                'Name the cinder.conf of cinder-volume.') from e
    enabled = [n for n in conf.enabled_backends or () if n]
    ours = {n: Backend(n, section) for n in enabled
            if (section := Section(conf, n)).safe_get(
                'volume_driver') == DRIVER}
    for name in names:
        if name not in ours:
            raise exception.ConfigurationError(
                f'[{name}]', 'there is no such backend of ours',
                'Those in enabled_backends are: '
                f'{", ".join(ours) or "none"}. {_seen(conf, enabled)}')
    if not ours:
        raise exception.ConfigurationError(
            'enabled_backends', 'no backend in it has volume_driver = '
            f'{DRIVER}', _seen(conf, enabled))
    for name in sorted({*enabled} - {*conf.list_all_sections()}):
        LOG.warning('enabled_backends has %s, but there is no section [%s] '
                    'in %s', name, name, _sources(conf))
    _warn_of_others(ours)
    return [ours[n] for n in names or ours]


def _warn_of_others(ours: Mapping[str, Backend]) -> None:
    """Tell of journals that no backend has any more.

    Its section may have been renamed while hosts have volumes attached.
    """
    folders = set()
    for backend in ours.values():
        with contextlib.suppress(exception.ConfigurationError):
            folders.add(Path(backend.state_path).parent)
    for path in sorted(p for f in folders
                       for p in f.glob(f'*/{sqlite.FILE_NAME}')):
        if path.parent.name not in ours:
            LOG.warning(
                '%s is the journal of [%s], which is no enabled backend of '
                'ours: nothing that it says is served. If the section was '
                'renamed, name it as before; else remove that folder',
                path, path.parent.name)


def _sources(conf: cfg.ConfigOpts) -> str:
    """Return the files and folders that were read, as a text."""
    return ', '.join([*(conf.config_file or ()), *(conf.config_dir or ())]
                     ) or 'no file at all'


def _seen(conf: cfg.ConfigOpts, enabled: Sequence[str]) -> str:
    """Tell what was read, and which sections there are for backends."""
    found = conf.list_all_sections()
    drivers = {name: Section(conf, name).safe_get('volume_driver')
               for name in (*enabled, *found)
               if name not in ('DEFAULT', opts.SHARED_SECTION)}
    lines = [f'enabled_backends is {", ".join(enabled) or "empty"}']
    for name in enabled:
        lines.append(
            f'[{name}] has volume_driver = {drivers.get(name)}'
            if name in found else f'there is no section [{name}]')
    lines += [f'[{name}] is ours and not enabled'
              for name, driver in drivers.items()
              if driver == DRIVER and name not in enabled]
    return (f'Read: {_sources(conf)}. There, {"; ".join(lines)}. Other files '
            'can be named with --config-file and --config-dir.')
