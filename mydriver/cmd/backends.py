# SPDX-License-Identifier: Apache-2.0
"""The backends of ours in cinder.conf, read without cinder.

At boot ``mydriver restore`` has to be quick, and cinder takes its time to
load. So the few options of Cinder's that matter are declared here again, as
cinder/volume/driver.py and cinder/common/config.py have them; a test compares
the two.
"""

from collections.abc import Sequence
import copy
import dataclasses
import os
from typing import Any

from oslo_config import cfg
from oslo_utils import netutils

from mydriver import exception
from mydriver.cinder_volume import opts, serving, settings

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
    def settings(self) -> serving.Settings:
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
        return os.path.join(self.state_path, 'journal.sqlite')


def read(files: Sequence[str], names: Sequence[str] = ()) -> list[Backend]:
    """Return our backends.

    oslo.privsep's sections are read from the same files.

    :param files: configuration files; none means where cinder-volume looks.
    :param names: of the wanted ones; none means all that are enabled.
    :raises ConfigurationError: when a file, or a backend, is not there.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(GLOBAL_OPTS)
    for one in (conf, cfg.CONF):
        try:
            one([f'--config-file={f}' for f in files], project='cinder',
                prog='cinder-volume')
        except cfg.Error as e:
            raise exception.ConfigurationError(
                '--config-file', str(e),
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
                f'{", ".join(ours) or "none"}.')
    return [ours[n] for n in names or ours]
