# SPDX-License-Identifier: Apache-2.0
"""What the kernel's client needs of Ceph's configuration: read as root.

The daemon does without librados: a map takes the addresses of the monitors,
the name of the user and its key.
"""

import base64
import binascii
import configparser
import ipaddress
import os
import re
import stat
import time
import uuid

from mydriver import exception

OPTION = 'mydriver_rbd_ceph_conf'

#: No configuration and no keyring is larger.
_MOST_BYTES = 1 << 20

#: Where keyrings are looked for, unless the configuration says
#: (src/common/options.cc, keyring).
_KEYRINGS = ('/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,'
             '/etc/ceph/keyring,/etc/ceph/keyring.bin')
_V1, _V2 = 6789, 3300
_ADDRESS = re.compile(
    r'(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::(?P<port>\d{1,5}))?(?:/\d+)?\Z')


class CephConf:
    """A configuration file of Ceph, as a client reads it.

    :param path: of the file; the caller has checked that it is root's.
    :param user: name of the client, without ``client.``.
    :raises ConfigurationError: when the file cannot be used.
    """

    def __init__(self, path: str, user: str) -> None:
        self.path = path
        self.user = user
        self._said = self._read()

    def fsid(self) -> str:
        """Return the id of the cluster.

        :raises ConfigurationError: when the file does not have it.
        """
        text = self._said.get('fsid', '')
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise self._wrong('it has no fsid', 'Add fsid = ID to [global]; '
                              'ceph fsid shows it.') from None

    def monitors(self) -> tuple[str, str]:
        """Return the monitors and the options that go with them.

        A monitor's old protocol is preferred where it has both
        (Documentation/admin-guide/blockdev; net/ceph/messenger.c).

        :returns: ``ADDRESS:PORT,...`` and ``''`` or ``ms_mode=...``.
        :raises ConfigurationError: when the file names none by address.
        """
        old, new = [], []
        for item in _split(self._said.get('mon_host', '')):
            found = dict(_protocols(item))
            if 'v1' in found:
                old.append(found['v1'])
            elif 'v2' in found:
                new.append(found['v2'])
        if old:
            return ','.join(old), ''
        if new:
            return ','.join(new), 'ms_mode=prefer-crc'
        raise self._wrong('its mon_host has no addresses',
                          'Set mon_host to the addresses of the monitors.')

    def key(self) -> bytes:
        """Return the user's key, in the form that the kernel takes.

        It is what the text of the keyring encodes: u16 type, u32 and u32 time
        of creation, u16 length, key (net/ceph/crypto.c).

        :raises ConfigurationError: when there is no key. The text shows
            nothing of a keyring.
        """
        paths = [self._expanded(p) for p in re.split(
            '[,; ]+', self._said.get('keyring', _KEYRINGS)) if p]
        for path in paths:
            try:
                text = _read_file(path)
            except OSError:
                continue
            if key := _key_in(text, f'client.{self.user}'):
                return key
        raise exception.ConfigurationError(
            'mydriver_rbd_user', f'there is no key of client.{self.user} in '
            f'{", ".join(paths)}', 'Put its keyring there: ceph auth get '
            f'client.{self.user}.')

    def _expanded(self, path: str) -> str:
        for name, value in (
                ('cluster', 'ceph'), ('name', f'client.{self.user}'),
                ('type', 'client'), ('id', self.user)):
            path = re.sub(rf'\${name}\b|\${{{name}}}', value, path)
        return path

    def _read(self) -> dict[str, str]:
        try:
            found = _sections(self.path)
        except OSError as e:
            raise self._wrong(e.strerror or 'it cannot be read',
                              "Install Ceph's configuration there.") from e
        except configparser.Error as e:
            raise self._wrong('it has a line that is no setting',
                              'Correct it.') from e
        said = {}
        for section in ('global', 'client', f'client.{self.user}'):
            said.update(found.get(section, {}))
        return said

    def _wrong(self, problem: str, remedy: str
               ) -> exception.ConfigurationError:
        return exception.ConfigurationError(
            OPTION, f'{self.path}: {problem}', remedy)


#: What is older than this has shown its last change, nanoseconds.
_SETTLED_NS = 1_000_000_000

#: What files said, by path: their state then, and the sections.
_known: dict[str, tuple[tuple[int, ...], dict[str, dict[str, str]]]] = {}


def _sections(path: str) -> dict[str, dict[str, str]]:
    """Return the settings in a file, which is parsed again after a change.

    One that was just written may change again without showing it: the clock
    of a filesystem is a coarse one.
    """
    seen = os.stat(path)
    state = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns,
             seen.st_ctime_ns)
    known = _known.get(path)
    if known is not None and known[0] == state:
        return known[1]
    sections = _parse(_read_file(path))
    if abs(time.time_ns() - seen.st_ctime_ns) > _SETTLED_NS:
        _known[path] = state, sections
    return sections


def _read_file(path: str) -> str:
    """Return a regular file's text, bounded; undecodable bytes are lost."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, encoding='utf-8', errors='replace') as f:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(None, 'it is not a regular file', path)
        return f.read(_MOST_BYTES)


def _parse(text: str) -> dict[str, dict[str, str]]:
    """Return the settings of each section; ``a b`` and ``a_b`` are one."""
    parser = configparser.RawConfigParser(
        strict=False, delimiters=('=',), comment_prefixes=('#', ';'),
        inline_comment_prefixes=('#', ';'), default_section='')
    parser.read_string('\n'.join(line.strip() for line in text.splitlines()))
    return {section: {re.sub(r'[\s-]+', '_', name): value.strip('"\'')
                      for name, value in parser.items(section)}
            for section in parser.sections()}


def _key_in(keyring: str, name: str) -> bytes | None:
    """Return the key of a user in a keyring, None when it has none."""
    try:
        text = _parse(keyring).get(name, {}).get('key', '')
        return base64.b64decode(text, validate=True) or None
    except (configparser.Error, binascii.Error):
        return None


def _split(mon_host: str) -> list[str]:
    """Return the monitors: ``[v2:A:P,v1:A:P]`` is one."""
    return re.findall(r'\[v[12]:[^\s]*?\](?=[,;\s]|\Z)|[^,;\s]+', mon_host)


def _protocols(item: str) -> list[tuple[str, str]]:
    """Return each protocol of a monitor with its ``ADDRESS:PORT``."""
    inner = (item[1:-1].split(',') if item.startswith(('[v1:', '[v2:'))
             else [item])
    found = []
    for one in inner:
        named = one[:3] in ('v1:', 'v2:')
        protocol, rest = (one[:2], one[3:]) if named else ('v1', one)
        match = _ADDRESS.match(rest)
        if not match:
            continue
        try:
            address = ipaddress.ip_address(match['host'].strip('[]'))
        except ValueError:
            continue
        port = int(match['port'] or (_V1 if protocol == 'v1' else _V2))
        if not named and port == _V2:
            protocol = 'v2'
        host = f'[{address}]' if address.version == 6 else str(address)
        found.append((protocol, f'{host}:{port}'))
    return found
