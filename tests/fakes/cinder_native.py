# SPDX-License-Identifier: Apache-2.0
"""A driver whose store hosts can use natively, and hosts of both kinds.

Attaches and detaches change the records as Cinder's API and manager do: there
is an attachment first, it names its host after ``initialize_connection``, and
it goes after ``terminate_connection``.
"""

from typing import Any

from mydriver import connection
from mydriver.stores import base
from tests.fakes import cinder as fakes
from tests.fakes import native

IQN = 'iqn.1993-08.org.debian:01:'
RBD, ISCSI = 'rbd', 'iscsi'


def stock(host: str = 'stock') -> dict[str, Any]:
    """Return the connector of a host without our plugin."""
    return fakes.connector(f'{IQN}{host}', host)


def able(host: str = 'able', secret: str = native.FSID) -> dict[str, Any]:
    """Return that of a host with our plugin that can use RBD images."""
    return {**stock(host), connection.MARKER: connection.Capabilities(
        True, True, frozenset({secret})).mark()}


def diskless(host: str = 'diskless') -> dict[str, Any]:
    """Return that of such a host without open-iscsi."""
    return {**able(host), 'initiator': None}


class Engine(fakes.MemoryEngine):
    """What a driver is set up from: the stand-in for a Ceph pool."""

    def store_of(self, conf: Any, name: str) -> base.VolumeStore:
        """Return the store of a section."""
        return native.NativeStore(conf.safe_get('mydriver_store_path'))


def manager_driver(**kwargs: Any) -> Any:
    """Return such a driver on Cinder's real database."""
    return fakes.manager_driver(**{'engine': Engine(), **kwargs})


class NativeCase(fakes.CinderTestCase):
    """A started driver, and what Cinder does with it."""

    options = ''

    def setUp(self) -> None:
        super().setUp()
        if self.options:
            self.configure(self.options)
        self.driver = self.started_driver(engine=Engine())
        self.store = native.NativeStore(self.store_path)

    def created(self, **fields: Any) -> Any:
        """Return a new volume that Cinder knows."""
        spec = fields.pop('protocol', None)
        volume = fakes.volume(**fields)
        if spec:
            volume.volume_type.extra_specs = {'mydriver:protocol': spec}
        self.driver.create_volume(volume)
        self.driver.records.volumes.append(volume)
        return volume

    def reserve(self, volume: Any) -> Any:
        """Make the record of an attachment, as the API does."""
        record = fakes.attachment(None, attach_status='reserved')
        volume.volume_attachment.objects.append(record)
        volume.status = 'reserved'
        return record

    def connect(self, volume: Any, connector: dict[str, Any],
                driver: Any = None) -> dict[str, Any]:
        """Do what the manager does before it records a connector."""
        driver = driver or self.driver
        driver.validate_connector(connector)
        driver.create_export(fakes.context(), volume, connector)
        try:
            info: dict[str, Any] = driver.initialize_connection(
                volume, connector)
        except Exception:
            driver.remove_export(fakes.context(), volume)
            raise
        return info

    def record(self, record: Any, connector: dict[str, Any],
               info: dict[str, Any]) -> Any:
        """Record what was told to a host."""
        record.connector = connector
        record.connection_info = {
            **info['data'], 'driver_volume_type': info['driver_volume_type']}
        record.attach_status = 'attached'
        return record

    def attach(self, volume: Any, connector: dict[str, Any],
               driver: Any = None) -> Any:
        """Attach a volume; return the record, or none is left."""
        record = self.reserve(volume)
        try:
            info = self.connect(volume, connector, driver)
        except Exception:
            volume.volume_attachment.objects.remove(record)
            raise
        self.record(record, connector, info)
        volume.status = 'in-use'
        return record

    def detach(self, volume: Any, record: Any, driver: Any = None) -> Any:
        """Detach a volume; return what the driver said."""
        driver = driver or self.driver
        shared = driver.terminate_connection(volume, record.connector,
                                             force=False)
        if not shared:
            driver.remove_export(fakes.context(), volume)
        volume.volume_attachment.objects.remove(record)
        if not volume.volume_attachment.objects:
            volume.status = 'available'
        return shared

    def restarted(self) -> Any:
        """Return the driver of another run on the same state.

        :returns: one that has not looked at in-use volumes yet.
        """
        self.driver.engine.journal.close()
        engine, records = Engine(), self.driver.records
        old = self.driver.engine.target
        made = self.new_driver(engine=engine, records=records)
        made.do_setup(fakes.context())
        engine.target.targets.update(old.targets)
        made.check_for_setup_error()
        self.addCleanup(engine.journal.close)
        self.driver = made
        return made

    def noted(self, volume: Any) -> tuple[str, ...]:
        """Return the hosts that are noted beside a volume."""
        return self.store.native_users(f'volume-{volume.name_id}')

    def mapped(self, volume: Any) -> list[str]:
        """Return the hosts that a volume is mapped to."""
        return [i.removeprefix(IQN) for v, i, _ro in
                self.driver.engine.mapped() if v == volume.name_id]

    def protocol(self, record: Any) -> str:
        """Return the protocol of an attachment."""
        return str(record.connection_info['driver_volume_type'])
