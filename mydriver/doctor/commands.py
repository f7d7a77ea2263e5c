# SPDX-License-Identifier: Apache-2.0
"""Commands for the operator, to be copied to a shell as they are."""

from collections.abc import Sequence
import re

from mydriver import exception
from mydriver.doctor import rewriting
from mydriver.doctor.host import Host
from mydriver.hostfiles import choices

#: The units of the services: upstream's and Debian's name, that of RPM-based
#: distributions, and that of devstack.
_UNITS = {
    choices.STORAGE: ('cinder-volume', 'openstack-cinder-volume',
                      'devstack@c-vol'),
    choices.COMPUTE: ('nova-compute', 'openstack-nova-compute',
                      'devstack@n-cpu')}

#: Where units are, see systemd.unit(5).
_UNIT_FOLDERS = ('/etc/systemd/system', '/run/systemd/system',
                 '/usr/local/lib/systemd/system', '/usr/lib/systemd/system',
                 '/lib/systemd/system')

#: Longest text of a path.
_PATH_CHARACTERS = 300

#: Characters that mean something in the regular expressions of sed.
_SPECIAL = re.compile(r'[][\\.*^$/]')

#: What a command may begin with that a text for people says to run.
_VERBS = (r'(?:mydriver|mount|modprobe|systemctl|chown|chmod|iscsiadm|echo|'
          r'apt-get|lv[a-z]+|vg[a-z]+) ')

#: Where such a command begins, and where it may end: with its part of the
#: sentence.
_BEGIN = re.compile(rf'\b(?:Run|See|Start) (?={_VERBS})')
_END = re.compile(r'\.(?=\s|$)|[,;](?=\s)|$')

#: One of the commands that ``&&`` joins, without what is quoted: a shell takes
#: nothing in it for more than it seems.
_PLAIN = re.compile(rf'(?:{_VERBS}|\[ ! -L )[\w ./:=,@%+\[\]-]*')
_PLAIN_ECHO = re.compile(
    r'echo [01] > /sys/kernel/config/(?!.*\.\.)[\w./:-]+')


def shown(path: object) -> str:
    """Return a name that others chose, without what a terminal obeys."""
    return exception.shown(''.join(
        c if c.isprintable() else f'\\x{ord(c):02x}' for c in str(path)),
        _PATH_CHARACTERS)


def install(host: Host) -> str:
    """Return what puts the files of ``mydriver setup`` in place."""
    return f'mydriver setup {host.kind} --install'


def restart(host: Host) -> str:
    """Return what restarts the service of a host."""
    units = _UNITS[host.kind]
    there = next((unit for unit in units for folder in _UNIT_FOLDERS
                  if host.at(f'{folder}/{unit}.service').exists()), units[0])
    return f'systemctl restart {there}'


def as_root(host: Host) -> str:
    """Return what checks the host with all permissions."""
    return f'sudo mydriver doctor {host.kind}'


def edit(host: Host, line: int | None = None, path: str | None = None
         ) -> str:
    """Return what opens a file, for decisions of the operator.

    :param line: where the cursor is to be.
    :param path: of the file; default: the configuration.
    """
    files = [path] if path else host.config() or [
        str(host.at(f)) for f in host.files]
    return rewriting.editor(files, line)


def add_user(host: Host) -> str:
    """Return what creates the user that the service should run as."""
    return (f'useradd --system --shell /usr/sbin/nologin {host.user}  # or '
            f'mydriver setup {host.kind} --install --user, with the user '
            'that it runs as')


def set_option(host: Host, section: str, name: str, value: str) -> str:
    """Return what gives an option a value.

    A value of one line is replaced where the service reads it. Otherwise a new
    line is added: of several values, oslo.config uses the last one.
    """
    setting = f'{name} = {value}'
    if not _is_printable(section, setting):
        return edit(host)
    for path in reversed(host.config()):
        lines = (host.text(_inside(host, path)) or '').split('\n')
        found = _lines_of(lines, section, name)
        if found and not any(_continues(lines, n) for n in found):
            return rewriting.sed(_in_section(
                section, f'/{_option(name)}/s|.*|{_literal(setting)}|;bb'),
                [path])
        if found:
            return _append(path, section, setting)
    path = str(host.at(host.files[0]))
    lines = (host.text(host.files[0]) or '').split('\n')
    if lines.count(f'[{section}]') == 1:
        return rewriting.sed(
            f'/^\\[{_quoted(section)}\\]/a {_literal(setting)}', [path])
    return _append(path, section, setting)


def rename_option(host: Host, section: str, name: str, new: str) -> str:
    """Return what gives an option another name."""
    if not _is_printable(section, name):
        return edit(host)
    return rewriting.sed(_in_section(
        section, f's/^{_name(name)}\\([[:space:]]*[=:]\\)/{new}\\1/;bb'),
        host.config())


def disable_option(host: Host, section: str, name: str) -> str:
    """Return what makes a comment of an option, with all lines of its value.

    :param name: of the option.
    """
    if not _is_printable(section, name):
        return edit(host)
    return rewriting.sed(_in_section(
        section, f'/{_option(name)}/!bb;s|^|#|;'
        ':d;$b;n;/^[[:blank:]].*[^[:space:]]/!bc;s|^|#|;bd'), host.config())


def of_text(text: str) -> str | None:
    """Return the command that a text for people says to run, if any.

    Parts of the text may come from others, such as the names of files. So
    there is none if a shell could take it for more than it seems, and the last
    one counts: what to do is said after what is wrong.
    """
    *_, begin = [None, *_BEGIN.finditer(text)]
    if begin is None:
        return None
    ends = (text[begin.end():end.start()].strip()
            for end in _END.finditer(text, begin.end()))
    command = next((c for c in ends if c.count("'") % 2 == 0), '')
    return command if _is_plain(command) else None


def _is_plain(command: str) -> bool:
    """Tell whether a shell does what a command seems to do."""
    bare = re.sub("'[^']*'", '', command)
    return bool(_PLAIN_ECHO.fullmatch(bare)) or all(
        _PLAIN.fullmatch(part) for part in bare.split(' && '))


def _inside(host: Host, path: str) -> str:
    """Return a path of the host, from one with its root in front."""
    return '/' + path[len(str(host.root).rstrip('/')):].lstrip('/')


def _lines_of(lines: Sequence[str], section: str, name: str) -> list[int]:
    """Return the numbers of the lines that set an option."""
    found, inside = [], False
    pattern = re.compile(name.replace('_', '[-_]') + r'\s*[=:]')
    for n, line in enumerate(lines):
        if line.startswith('['):
            inside = line.rstrip() == f'[{section}]'
        elif inside and pattern.match(line):
            found.append(n)
    return found


def _continues(lines: Sequence[str], n: int) -> bool:
    """Tell whether a value goes on in the next line."""
    return n + 1 < len(lines) and lines[n + 1].startswith((' ', '\t'))


def _append(path: str, section: str, setting: str) -> str:
    return rewriting.append(path, [f'[{section}]', setting])


def _in_section(section: str, commands: str) -> str:
    """Return a script of sed for each line of a section, but its header.

    A section may be there several times, one after the other as well, where a
    range of sed would end with the second header.

    :param commands: they end with a branch: to b for the next line, or to c
        if that has been read.
    """
    return (f':a;/^\\[{_quoted(section)}\\][[:space:]]*$/!b;'
            rf':b;$b;n;:c;/^\[/ba;{commands}')


def _is_printable(*texts: str) -> bool:
    """Tell whether a terminal takes nothing in a command for an order."""
    return all(text.isprintable() for text in texts)


def _option(name: str) -> str:
    return f'^{_name(name)}[[:space:]]*[=:]'


def _name(name: str) -> str:
    return _quoted(name).replace('_', '[-_]')


def _quoted(text: str) -> str:
    return _SPECIAL.sub(r'\\\g<0>', text)


def _literal(text: str) -> str:
    return re.sub(r'[\\&|]', r'\\\g<0>', text)
