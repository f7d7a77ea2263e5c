# SPDX-License-Identifier: Apache-2.0
"""The settings of a backend that gateways serve, from its section."""

from collections.abc import Sequence
import ipaddress
from typing import Any, Protocol

from mydriver import exception, model
from mydriver.target import addresses, pool

_ADDRESSES = 'mydriver_gateway_addresses'
_WITNESSES = 'mydriver_gateway_witnesses'
_REMEDY = ('Name addresses that no host has configured, without ports: one '
           'entry for each target, several networks joined by +, such as '
           '192.0.2.51+198.51.100.51,192.0.2.52+198.51.100.52.')
#: As many as mydriver_targets allows.
_MOST_TARGETS = 64


class Configuration(Protocol):
    """A backend's options; see :class:`.settings.Configuration`."""

    def safe_get(self, value: str) -> Any:
        """Return an option's value, None when there is no such option."""


def of_backend(conf: Configuration, fixed: Sequence[model.Portal]
               ) -> pool.Gateways | None:
    """Return how gateways serve a backend; None when they do not.

    :param fixed: the portals that the backend would have without gateways.
    :raises ConfigurationError: for the first setting that is wrong.
    """
    entries = conf.safe_get(_ADDRESSES)
    if not entries:
        return None
    if conf.safe_get('mydriver_store') != 'rbd':
        raise _wrong('gateways can only serve the store rbd, whose volumes '
                     'every host reaches', 'Remove it, or set mydriver_store '
                     '= rbd for a new backend.')
    if conf.safe_get('mydriver_targets') is not None:
        raise exception.ConfigurationError(
            'mydriver_targets', f'it is set together with {_ADDRESSES}, which '
            'has one entry for each target', 'Remove it.')
    if len(entries) > _MOST_TARGETS:
        raise _wrong(f'it has {len(entries)} entries, more than '
                     f'{_MOST_TARGETS}', 'Use fewer targets.')
    port = conf.safe_get('target_port')
    portals = tuple(_portals(entry, port) for entry in entries)
    _refuse_repeated([p.address for some in portals for p in some],
                     {p.address for p in fixed})
    return pool.Gateways(
        portals=portals, lease_s=conf.safe_get('mydriver_gateway_lease'),
        interfaces=tuple(conf.safe_get('mydriver_gateway_interface') or ()),
        witnesses=tuple(_witness(text, port) for text in
                        conf.safe_get(_WITNESSES) or ()))


def _witness(text: str, port: int) -> model.Portal:
    """Return the address and the port of a witness."""
    try:
        if text.count(':') > 1 and not text.startswith('['):
            return model.Portal(text, port)
        found = model.Portal.parse(text)
        is_bare = not text.endswith(f':{found.port}')
        return model.Portal(found.address, port if is_bare else found.port)
    except exception.InvalidPortal as e:
        raise exception.ConfigurationError(
            _WITNESSES, f'{text!r}: {e}'.rstrip('.'),
            'Name addresses, such as 192.0.2.1.') from e


def _portals(entry: str, port: int) -> tuple[model.Portal, ...]:
    """Return the portals of a target."""
    try:
        found = model.floating_addresses(entry)
    except exception.InvalidPortal as e:
        raise _wrong(f'entry {entry!r}: {e}'.rstrip('.')) from e
    for address in found:
        problem = addresses.unusable(address)
        if ipaddress.ip_address(address).is_loopback:
            problem = 'it is a loopback address'
        if problem:
            raise _wrong(f'hosts cannot log in at {address}: {problem}')
    return tuple(model.Portal(address, port) for address in found)


def _refuse_repeated(floating: Sequence[str], fixed: set[str]) -> None:
    """Check that each address has one use.

    :param fixed: addresses that this host has for itself.
    """
    for address in floating:
        if floating.count(address) > 1:
            raise _wrong(f'{address} is in it twice, but only the owner of '
                         'one target can have it')
        if address in fixed:
            raise _wrong(
                f'{address} is an address of this host ({addresses.FIRST}, '
                f'{addresses.OTHERS} or my_ip), but it has to move between '
                'gateways')


def _wrong(problem: str, remedy: str = _REMEDY
           ) -> exception.ConfigurationError:
    return exception.ConfigurationError(_ADDRESSES, problem, remedy)
