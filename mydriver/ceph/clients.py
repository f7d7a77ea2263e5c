# SPDX-License-Identifier: Apache-2.0
"""The address of one instance of a Ceph client, which can be fenced."""

import dataclasses
import ipaddress
import re
from typing import Self

from mydriver import exception

_CLIENT = re.compile(
    r'(?:\[(?P<six>[0-9a-f]*:[0-9a-f:.]{1,45})\]|(?P<four>[0-9.]{7,15}))'
    r':0/(?P<nonce>[0-9]{1,10})\Z', re.ASCII)


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Client:
    """One instance of a Ceph client, such as one of a host's kernel.

    The nonce is random and new for each instance, so that fencing one instance
    does not affect the next one of the same host.

    :param address: IPv4 or IPv6 address, as the monitors see it.
    :param nonce: 1 to 2**32 - 1; 0 would mean every client of the address.
    :raises ValueError: when either is not valid.
    """

    address: str
    nonce: int

    def __post_init__(self) -> None:
        address = str(ipaddress.ip_address(self.address))
        if '%' in address:
            raise ValueError('an address with a scope is valid on one host')
        if type(self.nonce) is not int or not 0 < self.nonce < 1 << 32:
            raise ValueError('the nonce is not 1 to 4294967295')
        object.__setattr__(self, 'address', address)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parse ``IP:0/NONCE``, as sysfs shows it (``client_addr``).

        :param text: with an IPv6 address in brackets.
        :raises ValueError: when it is not of that form.
        """
        match = _CLIENT.match(text) if isinstance(text, str) else None
        if not match:
            raise ValueError(f'{exception.shown(text)} is not IP:0/NONCE')
        try:
            return cls(match['six'] or match['four'], int(match['nonce']))
        except ValueError as e:
            raise ValueError(f'{exception.shown(text)}: {e}') from e

    def __str__(self) -> str:
        host = f'[{self.address}]' if ':' in self.address else self.address
        return f'{host}:0/{self.nonce}'
