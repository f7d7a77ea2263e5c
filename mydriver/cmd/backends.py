# SPDX-License-Identifier: Apache-2.0
"""This driver's backends in cinder.conf, read without importing cinder.

``mydriver restore`` runs at boot and must be fast, and cinder is slow to
import. So the few Cinder options that matter are declared again here, as in
cinder/volume/driver.py and cinder/common/config.py. A test compares the two
sets of declarations.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
import contextlib
import copy
import dataclasses
import os
from pathlib import Path
import stat
from typing import Any

from oslo_config import cfg, types
from oslo_log import log as logging
from oslo_utils import netutils

from mydriver import configuration, exception
from mydriver.backend import opts, settings
from mydriver.target import pool, state
from mydriver.target.journal import sqlite

#: ``volume_driver`` of this driver's backends.
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
    cfg.MultiOpt('replication_device', item_type=types.Dict(), secret=True),
)
_KNOWN = frozenset(o.dest for o in (*BACKEND_OPTS, *opts.VOLUME_OPTS))
_SECRET = frozenset(o.name for o in BACKEND_OPTS if o.secret)


LOG = logging.getLogger(__name__)


class Section:
    """A backend's options: its own section, then the shared one.

    Follows cinder.volume.configuration.BackendGroupConfiguration.

    :param conf: the parsed configuration.
    :param name: the backend's section.
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
        """Return an option's value.

        :param value: the option's name, as Cinder calls this parameter.
        :returns: None when there is no such option.
        :raises ConfigurationError: when the configured value is invalid.
        """
        try:
            own = self._conf[self._name][value]
            if own is not None:
                return own
            return self._conf[opts.SHARED_SECTION][value]
        except cfg.NoSuchOptError as e:
            if value not in _KNOWN:
                return None
            name = '' if value in _SECRET else f' ${e.opt_name}'
            raise settings.refers_to_nothing(
                f'[{self._name}] {value}', name) from None
        except cfg.Error as e:
            # What is wrong with a secret may contain it.
            is_secret = value in _SECRET
            raise exception.ConfigurationError(
                f'[{self._name}] {value}',
                'the value is invalid' if is_secret else _plain(e),
                'Correct it in the configuration file.'
                ) from (None if is_secret else e)


def _plain(error: cfg.Error) -> str:
    """Return what is wrong with a value.

    oslo.config says before it where the value is, as an object of its own.
    """
    _, _, problem = str(error).partition(' is not valid: ')
    return (f'the value is not valid: {problem}'
            if isinstance(error, cfg.ConfigSourceValueError) and problem
            else str(error))


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """A backend of this driver.

    :param name: its section.
    :param section: its options.
    """

    name: str
    section: Section

    @property
    def settings(self) -> pool.Settings:
        """The settings of its export service.

        :raises ConfigurationError: for the first invalid setting.
        """
        return settings.of_service(self.section, self.name)

    @property
    def state_path(self) -> str:
        """Its state directory.

        :raises ConfigurationError: when the setting is invalid.
        """
        return settings.state_path(self.section, self.name)

    @property
    def has_gateways(self) -> bool:
        """Whether gateways serve it; its journal is in Ceph then.

        :raises ConfigurationError: when the setting is invalid.
        """
        return bool(self.section.safe_get('mydriver_gateway_addresses'))

    @property
    def journal_path(self) -> str:
        """The path of its journal (see :func:`.factory.build`)."""
        return os.path.join(self.state_path, sqlite.FILE_NAME)

    def has_journal(self) -> bool:
        """Tell whether the backend has a journal that this user can read.

        :raises ConfigurationError: when this user lacks the permission to
            find out or to read it, or when it cannot be trusted.
        """
        path = self.journal_path
        user = f'user id {os.geteuid()}'
        try:
            owner, _group = state.owner(self.state_path)
            if owner and not os.geteuid():
                raise PermissionError(
                    None, f'its directory belongs to user id {owner}, and '
                    'root would create files there that this user cannot '
                    'open')
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise OSError(None, 'it is not a regular file')
            if not os.access(path, os.R_OK):
                raise PermissionError(None, f'{user} cannot read it')
        except FileNotFoundError:
            return False
        except OSError as e:
            raise exception.ConfigurationError(
                'mydriver_state_path', f'{path}: {e.strerror} ({user})',
                'Run this command as root or as the user of cinder-volume. '
                'That user must own the state directories of all backends.'
            ) from e
        return True


def read(files: Sequence[str], names: Sequence[str] = (),
         directories: Sequence[str] = (), *, warns: bool = True
         ) -> list[Backend]:
    """Return this driver's backends.

    The sections of oslo.privsep are read from the same files.

    :param files: configuration files; empty for those of cinder-volume.
    :param names: sections of the wanted backends; empty for all enabled ones.
    :param directories: directories with more ``*.conf`` files.
    :param warns: log what looks wrong but is no error.
    :raises ConfigurationError: when a file or backend does not exist, or when
        no enabled backend uses this driver.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(GLOBAL_OPTS)
    for one in (conf, cfg.CONF):
        try:
            with configuration.named(files or cfg.find_config_files(
                    'cinder', 'cinder-volume'), directories
                    or cfg.find_config_dirs('cinder', 'cinder-volume')):
                one([*(f'--config-file={f}' for f in files),
                     *(f'--config-dir={d}' for d in directories)],
                    project='cinder', prog='cinder-volume')
        except cfg.Error as e:
            raise exception.ConfigurationError(
                '--config-file, --config-dir', str(e),
                'Pass the cinder.conf of cinder-volume.') from e
    enabled = [n for n in conf.enabled_backends or () if n]
    for name in enabled:
        if name in (opts.SHARED_SECTION, 'DEFAULT'):
            raise exception.ConfigurationError(
                'enabled_backends', f'[{name}] is no section of a backend',
                'Take it off the list.')
    ours = {n: Backend(n, section) for n in enabled
            if (section := Section(conf, n)).safe_get(
                'volume_driver') == DRIVER}
    for name in names:
        if name not in ours:
            raise exception.ConfigurationError(
                f'[{name}]', 'this is not an enabled mydriver backend',
                'The mydriver backends in enabled_backends are: '
                f'{", ".join(ours) or "none"}. {_describe(conf, enabled)}')
    if not ours:
        raise exception.ConfigurationError(
            'enabled_backends', 'none of them has volume_driver = '
            f'{DRIVER}', _describe(conf, enabled))
    if not warns:
        return [ours[n] for n in names or ours]
    for name in sorted({*enabled} - {*conf.list_all_sections()}):
        LOG.warning('enabled_backends lists %s, but there is no section [%s] '
                    'in %s', name, name, _sources(conf))
    _warn_of_orphans(ours)
    return [ours[n] for n in names or ours]


def _warn_of_orphans(ours: Mapping[str, Backend]) -> None:
    """Warn of journals that belong to no enabled backend.

    A section may have been renamed while hosts have volumes attached.
    """
    for path in orphans(ours, ours.values()):
        LOG.warning(
            '%s is the journal of [%s], which is not an enabled mydriver '
            'backend: its exports are not served. If the section was '
            'renamed, restore its name; mydriver doctor shows whether that '
            'directory can be moved away', path, path.parent.name)


def orphans(names: Collection[str], ours: Iterable[Backend]) -> list[Path]:
    """Return the paths of journals that belong to no enabled backend.

    :param names: of all enabled backends of this driver.
    :param ours: those whose state directories are looked at.
    """
    parents = set()
    for backend in ours:
        with contextlib.suppress(exception.ConfigurationError):
            parents.add(Path(backend.state_path).parent)
    return [path for path in sorted(
        p for d in parents for p in d.glob(f'*/{sqlite.FILE_NAME}'))
        if path.parent.name not in names]


def _sources(conf: cfg.ConfigOpts) -> str:
    """Return the files and directories that were read, as text."""
    return ', '.join([*(conf.config_file or ()), *(conf.config_dir or ())]
                     ) or 'no configuration file'


def _describe(conf: cfg.ConfigOpts, enabled: Sequence[str]) -> str:
    """Describe what was read and which backend sections it contains."""
    found = conf.list_all_sections()
    drivers = {name: Section(conf, name).safe_get('volume_driver')
               for name in (*enabled, *found)
               if name not in ('DEFAULT', opts.SHARED_SECTION)}
    lines = [f'enabled_backends is {", ".join(enabled) or "empty"}']
    for name in enabled:
        lines.append(
            f'[{name}] has volume_driver = {drivers.get(name)}'
            if name in found else f'there is no section [{name}]')
    lines += [f'[{name}] is a mydriver backend that is not enabled'
              for name, driver in drivers.items()
              if driver == DRIVER and name not in enabled]
    return (f'Read: {_sources(conf)}. There, {"; ".join(lines)}. Use '
            '--config-file and --config-dir to read other files.')
