# SPDX-License-Identifier: Apache-2.0
"""The floating addresses that a gateway holds for the targets it owns."""

from collections.abc import Collection
from typing import Protocol

from mydriver import model
from mydriver.privileged import channel
from mydriver.privileged.network import floating as as_root
from mydriver.privileged.network import rtnetlink

#: How long a verb may take. It waits for nothing but the kernel's networking.
_TIMEOUT_S = 10.0


class Addresses(Protocol):
    """The floating addresses of this host. Every method is idempotent."""

    def hold(self, address: str, until_s: float) -> None:
        """Put an address on its interface, or renew the time until it goes.

        It goes by itself within 1 s after that, also when nothing of ours runs
        any more.

        :param address: IPv4 or IPv6 address.
        :param until_s: seconds of CLOCK_BOOTTIME.
        :raises AddressError: when that time has come, in which case the host
            does not have the address; or when the kernel refuses.
        :raises ForeignObject: when the host has the address as its own.
        :raises ConfigurationError: when no interface, or more than one, has an
            address in its subnet.
        """

    def drop(self, address: str) -> None:
        """Remove an address. Nothing leaves from it any more afterwards.

        :raises AddressError: when the kernel refuses.
        :raises ForeignObject: when the host has the address as its own.
        """

    def announce(self, address: str) -> None:
        """Tell the neighbours that this host has an address now.

        Frames get lost, and a host that was stopped answers with the address
        that it had before; so this is repeated while the address is held.

        :raises AddressError: when this host does not hold it.
        """

    def prompt(self, portal: model.Portal,
               peers: Collection[model.Portal]) -> None:
        """Let peers notice that this host does not know their connections.

        :param portal: the address, which this host has to hold, and the port.
        :param peers: address and port of each; those whose connections this
            host knows go on.
        :raises AddressError: when this host does not hold the address.
        """

    def held(self) -> dict[str, int]:
        """Return all addresses of the host that go by themselves.

        Addresses from DHCP are among them.

        :returns: for each, the seconds until it does.
        :raises OSError: when the kernel does not tell.
        """


class KernelAddresses:
    """The addresses in the kernel."""

    def hold(self, address: str, until_s: float) -> None:
        """See :meth:`Addresses.hold`."""
        channel.run(as_root.hold_address, address, until_s,
                    timeout_s=_TIMEOUT_S)

    def drop(self, address: str) -> None:
        """See :meth:`Addresses.drop`."""
        channel.run(as_root.drop_address, address, timeout_s=_TIMEOUT_S)

    def announce(self, address: str) -> None:
        """See :meth:`Addresses.announce`."""
        channel.run(as_root.announce, address, timeout_s=_TIMEOUT_S)

    def prompt(self, portal: model.Portal,
               peers: Collection[model.Portal]) -> None:
        """See :meth:`Addresses.prompt`."""
        channel.run(as_root.prompt_peers, portal.address, portal.port,
                    [[p.address, p.port] for p in peers],
                    timeout_s=_TIMEOUT_S)

    def held(self) -> dict[str, int]:
        """See :meth:`Addresses.held`."""
        return {a.address: a.valid_s for a in rtnetlink.addresses()
                if a.valid_s is not None}
