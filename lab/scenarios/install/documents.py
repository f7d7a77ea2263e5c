# SPDX-License-Identifier: Apache-2.0
"""The commands of the README and of the installation page, as they stand.

A run types what the documents say, so that these cannot be wrong unnoticed.
Only what differs from machine to machine is replaced, see
:data:`SUBSTITUTIONS`, and comments that are instructions become actions.
"""

from collections.abc import Sequence
import dataclasses
import re

from lab import errors, paths

README = paths.ROOT / 'README.md'
PAGE = paths.ROOT / 'doc/source/install.rst'

#: What a machine has under another name: the empty disk; ``-y`` stands for
#: the operator, who answers questions with yes.
SUBSTITUTIONS = (
    ('/dev/sdb', '/dev/ubda'),
    ('apt-get install', 'apt-get -q -y install'),
    ('pip uninstall', 'pip uninstall -y'),
)

#: Comments that say what a command is for, and ask for nothing.
_REMARKS = ('storage host', 'compute host')

#: Comments that ask for something, and what does it.
MOUNT, COPY, LISTED = ACTIONS = ('mount', 'copy', 'listed')
_ASKS = (
    (re.compile(r'mount it at (?P<folder>\S+)'), MOUNT),
    (re.compile(r'copy from (?P<sample>\S+) to (?P<config>\S+)'), COPY),
    (re.compile('then do what it lists'), LISTED),
)


class DocumentError(errors.LabError):
    """A document does not have what a run needs of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line of a document.

    :param command: what to type, with this machine's names; may be empty.
    :param action: what its comment asks for, from :data:`ACTIONS`; may be
        empty.
    :param words: parts of that comment.
    """

    command: str
    action: str = ''
    words: tuple[str, ...] = ()


def real_cloud(text: str) -> tuple[list[Line], list[Line]]:
    """Return what README says to do on a storage and on a compute host."""
    block, *_ = _blocks(_chapter(text, '## On a real cloud', '## '), 4)
    storage, compute = _paragraphs(block)
    return storage, compute


def thin_pool(text: str) -> list[Line]:
    """Return what README says in the place of a filesystem, for lvmthin."""
    blocks = _blocks(_chapter(text, '## On a real cloud', '## '), 4)
    for block in blocks[1:]:
        if 'lvmthin' in block:
            lines, = _paragraphs(block)
            return lines
    raise DocumentError('README has no commands for the store lvmthin')


def packages(text: str) -> dict[str, list[Line]]:
    """Return the page's commands for packages of Debian, by kind of host."""
    block = _after(text, 'are not needed. On Debian 12::')
    found: dict[str, list[Line]] = {'storage': [], 'compute': []}
    for line in block.splitlines():
        command, _, kind = (p.strip() for p in line.partition('#'))
        for one in ([kind] if kind else list(found)):
            found[one].append(Line(_here(command)))
    return found


def page(text: str, words: str) -> list[Line]:
    """Return the commands of the page's block after a sentence.

    :param words: the end of the sentence, with the two colons.
    """
    return [line for lines in _paragraphs(_after(text, words))
            for line in lines]


def for_thin_pool(lines: Sequence[Line], instead: Sequence[Line]
                  ) -> list[Line]:
    """Return the storage host's commands with a volume group as the store.

    :param lines: those for a filesystem.
    :param instead: those that README names instead: the first one makes the
        store, the second one is ``mydriver setup``.
    """
    make, setup = instead
    result = []
    for line in lines:
        if line.action == MOUNT:
            result.append(make)
        elif ' setup storage' in line.command:
            result.append(setup)
        elif not line.command.startswith('install '):
            result.append(line)
    return result


def _chapter(text: str, heading: str, end: str) -> str:
    _, found, rest = text.partition(f'{heading}\n')
    if not found:
        raise DocumentError(f'README has no chapter "{heading}"')
    return rest.partition(f'\n{end}')[0]


def _blocks(text: str, indent: int) -> list[str]:
    """Return the indented blocks, without their indentation."""
    found = re.findall(rf'(?m)(?:^ {{{indent}}}.*\n(?:\n(?= ))?)+', text)
    if not found:
        raise DocumentError('README has no block of commands')
    return [re.sub(rf'(?m)^ {{{indent}}}', '', block) for block in found]


def _after(text: str, words: str) -> str:
    """Return the block after a sentence, whatever its indentation."""
    parts = re.split(r'\s+'.join(map(re.escape, words.split())), text)
    if len(parts) != 2:
        raise DocumentError(f'the page has "{words}" {len(parts) - 1} times')
    lines = parts[1].strip('\n').splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    block = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        block.append(line[indent:])
    return '\n'.join(block).strip('\n')


def _paragraphs(block: str) -> list[list[Line]]:
    return [[_line(text) for text in part.splitlines()]
            for part in block.strip('\n').split('\n\n')]


def _line(text: str) -> Line:
    """Return what a line says.

    :raises DocumentError: when its comment is none that is known.
    """
    command, _, comment = (p.strip() for p in re.split(
        r'(^|\s)# ', text, maxsplit=1)) if '# ' in text else (text, '', '')
    command = _here(command)
    for pattern, action in _ASKS:
        if found := pattern.fullmatch(comment):
            return Line(command, action, tuple(found.groupdict().values()))
    if comment and comment not in _REMARKS:
        raise DocumentError(
            f'nothing is known of the comment "{comment}": add it to '
            'lab/scenarios/install/documents.py')
    return Line(command)


def _here(command: str) -> str:
    """Return a command with this machine's names."""
    for there, here in SUBSTITUTIONS:
        command = command.replace(there, here)
    return command.strip()
