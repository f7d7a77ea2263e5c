# SPDX-License-Identifier: Apache-2.0
"""A cloud's options, paths and passwords in one value."""

import dataclasses
from pathlib import Path

from lab.cloud import credentials, settings


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """What a builder of configuration needs.

    :param options: the cloud's options.
    :param layout: paths of its files.
    :param passwords: its passwords.
    """

    options: settings.Options
    layout: settings.Layout
    passwords: credentials.Credentials

    @property
    def venv(self) -> Path:
        """The virtual environment that has the services."""
        return settings.VENV

    def program(self, name: str) -> str:
        """Return the path of a program of the virtual environment."""
        return str(self.venv / 'bin' / name)

    def database_url(self, database: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return (f'mysql+pymysql://openstack:{self.passwords.database}'
                f'@{settings.CONTROL}:{settings.PORTS["mariadb"]}'
                f'/{database}?charset=utf8mb3')

    @property
    def transport_url(self) -> str:
        """The URL of RabbitMQ for oslo.messaging."""
        return (f'rabbit://openstack:{self.passwords.messaging}'
                f'@{settings.CONTROL}:{settings.PORTS["rabbitmq"]}/')

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the whole environment of a service.

        It has nothing of the caller's, so that a cloud does not depend on the
        shell that started it: PYTHONDONTWRITEBYTECODE makes every start two
        to three times slower, and a proxy breaks the APIs.
        """
        return {
            'PATH': f'{self.venv}/bin:/usr/sbin:/usr/bin:/sbin:/bin',
            'HOME': str(self.layout.run), 'LANG': 'C.UTF-8',
            'TMPDIR': str(self.layout.run / 'tmp'),
            'PYTHONWARNINGS': 'ignore', **extra}

    def admin_environment(self) -> dict[str, str]:
        """Return the variables of OpenStack's clients, for the admin user.

        Ceph's clients have theirs, too, if the cloud has a Ceph.
        """
        ceph = {'CEPH_CONF': str(self.layout.ceph_conf)}
        return {
            **(ceph if self.options.ceph else {}),
            'OS_AUTH_URL': settings.url('keystone') + '/v3',
            'OS_USERNAME': 'admin', 'OS_PASSWORD': self.passwords.admin,
            'OS_PROJECT_NAME': 'admin', 'OS_USER_DOMAIN_ID': 'default',
            'OS_PROJECT_DOMAIN_ID': 'default',
            'OS_REGION_NAME': settings.REGION,
            'OS_IDENTITY_API_VERSION': '3',
            'no_proxy': f'{settings.CONTROL},{settings.GLANCE}'}


def load(layout: settings.Layout) -> Site:
    """Return the cloud that is up, or was up last.

    :raises FileNotFoundError: when there was none.
    """
    status = layout.read_status()
    options = settings.Options.load(status['options']) if status \
        else settings.Options()
    return Site(options, layout,
                credentials.Credentials.load(layout.credentials))
