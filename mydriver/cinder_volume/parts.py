# SPDX-License-Identifier: Apache-2.0
"""What the driver's parts share, and how a driver class is made of them.

A part is a plain object: it is given a :class:`Backend`, and perhaps another
part that it calls, and implements some of Cinder's driver interface. It
raises errors of ours. The driver class that Cinder loads has a method for
each, which forwards to the part and translates its errors.
"""

import abc
from collections.abc import Callable, Mapping
import dataclasses
import functools
import inspect
import socket
from typing import Any, Protocol, TypeVar

from cinder import exception as cinder_exception
from cinder.volume import driver as cinder_driver
from oslo_log import log as logging

from mydriver import events, exception
from mydriver.cinder_volume import blocks, errors, inflight, location, records
from mydriver.stores import base as stores
from mydriver.target import exports

LOG = logging.getLogger(__name__)

#: Prefix of a volume's lock.
LOCK_PREFIX = 'mydriver-'
#: Held by each call that changes which hosts may use a volume, since Cinder's
#: manager takes no lock.
LOCK = LOCK_PREFIX + '{volume.name_id}'

#: Methods that take part in other operations, or only look.
_NO_OPERATIONS = frozenset((
    'ensure_export', 'validate_connector', 'retype',
    'get_manageable_volumes', 'get_manageable_snapshots',
    'manage_existing_get_size', 'manage_existing_snapshot_get_size',
    'snapshot_revert_use_temp_snapshot', 'backup_use_temp_snapshot'))

_Driver = TypeVar('_Driver', bound=type)


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """A backend that is set up.

    :param name: of its section in cinder.conf.
    :param host: ``HOST@NAME``, the service that Cinder knows it as.
    :param options: of its section: Cinder's ``Configuration``.
    :param records: Cinder's database.
    :param store: where its volumes and snapshots are kept.
    :param exports: what it exports, and to whom.
    :param store_of: returns the store of a section of cinder.conf.
    :param in_flight: attaches that Cinder has not recorded yet.
    :param cluster: ``CLUSTER@NAME``, where several services serve the
        backend; None where one does.
    """

    name: str
    host: str
    options: Any
    records: records.Records
    store: stores.VolumeStore
    exports: exports.ExportService
    store_of: Callable[[Any, str], stores.VolumeStore]
    in_flight: inflight.InFlight = dataclasses.field(
        default_factory=inflight.InFlight)
    cluster: str | None = None

    @property
    def place(self) -> location.Place:
        """Where the volumes are; no other backend has the same place."""
        return location.Place('LIODriver', socket.gethostname(),
                              self.store.location)

    def check_blocks(self, what: str, needed_bytes: int, where: str,
                     shown_bytes: int) -> None:
        """Refuse a move to disks of another logical block size.

        :param what: was made for blocks of ``needed_bytes``.
        :param where: shows blocks of ``shown_bytes``.
        :raises BlocksDiffer: unless ``mydriver_check_block_size`` is off.
        """
        if needed_bytes == shown_bytes:
            return
        error = exception.BlocksDiffer(what, needed_bytes, where, shown_bytes)
        if self.options.mydriver_check_block_size:
            raise error
        LOG.warning('%s', error)

    def check_image_blocks(self, image: Mapping[str, Any]) -> None:
        """Refuse an image that was made for another block size.

        :param image: its record, as Glance has it.
        :raises BlocksDiffer: when it was.
        """
        self.check_blocks(f'Image {image["id"]}', blocks.of_image(image),
                          self.store.location, self.store.block_bytes())


class Parts(dict[type, Any]):
    """The parts of a driver object, by class.

    :raises DriverNotInitialized: for a part that has not been made yet.
    """

    def __missing__(self, kind: type) -> Any:
        raise cinder_exception.DriverNotInitialized


class Host(Protocol):
    """A driver object, as its forwarding methods see it."""

    parts: Parts


def made_of(*parts: type) -> Callable[[_Driver], _Driver]:
    """Return a class decorator that adds the methods of parts to a driver.

    Only methods that Cinder's driver interface has are added; the others are
    for parts that call each other.

    :param parts: their classes.
    :raises TypeError: when two parts have the same method.
    """
    def decorate(driver: _Driver) -> _Driver:
        owners: dict[str, type] = {}
        for part in parts:
            for name, method in vars(part).items():
                if name.startswith('_') or not hasattr(
                        cinder_driver.VolumeDriver, name):
                    continue
                if name in owners:
                    raise TypeError(f'{name} is a method of both '
                                    f'{owners[name]} and {part}')
                owners[name] = part
                setattr(driver, name, _forward(part, method))
        abc.update_abstractmethods(driver)
        return driver
    return decorate


def _forward(part: type, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a driver's method that calls a part's, with Cinder's errors.

    It is an operation that is reported when it ends, see :mod:`.events`.
    """
    name, volume_of = method.__name__, _volume_of(method)

    @functools.wraps(method)
    def call(self: Host, *args: Any, **kwargs: Any) -> Any:
        try:
            if name in _NO_OPERATIONS:
                return method(self.parts[part], *args, **kwargs)
            with events.operation(name, volume_of(args, kwargs)):
                return method(self.parts[part], *args, **kwargs)
        except exception.MyDriverError as e:
            raise errors.of_cinder(e) from e
    return call


def _volume_of(method: Callable[..., Any]
               ) -> Callable[[tuple[Any, ...], dict[str, Any]], str]:
    """Return how to read the volume's UUID from a method's arguments."""
    names = list(inspect.signature(method).parameters)[1:]
    wanted, field = next(
        ((n, f) for n, f in (('volume', 'id'), ('snapshot', 'volume_id'))
         if n in names), ('', ''))

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if not wanted:
            return ''
        place = names.index(wanted)
        found = args[place] if place < len(args) else kwargs.get(wanted)
        return str(getattr(found, field, ''))
    return read
