# SPDX-License-Identifier: Apache-2.0
"""Write the bill of materials of a wheel, in CycloneDX's JSON.

It lists what ``pip install mydriver[storage,compute]`` brings along, with the
versions in ``constraints.txt``. Dependencies and licences are those that the
metadata of the installed distributions says, so it is made in an environment
that has them (``.lab/venv``).

Format: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/. The same wheel
gives the same file: it has no time and no random number.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
import email.message
import email.parser
import hashlib
import importlib.metadata
import json
from pathlib import Path
import re
import sys
from typing import Any
import uuid
import zipfile

from packaging import requirements, utils

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / 'constraints.txt'
SPEC_VERSION = '1.6'

_CLASSIFIER = 'License :: '
#: A longer text in the metadata's field is a whole licence.
_NAME_MAX = 100


class SbomError(Exception):
    """The bill cannot be complete."""


def metadata_of(wheel: Path) -> email.message.Message:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name, = (n for n in archive.namelist()
                 if n.endswith('.dist-info/METADATA'))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def pinned(path: Path = CONSTRAINTS) -> dict[str, str]:
    """Return the versions in a constraints file, by normalised name."""
    return {utils.canonicalize_name(name): version for name, version
            in re.findall(r'^([A-Za-z0-9._-]+)==(\S+)', path.read_text(),
                          re.MULTILINE)}


def needed(lines: Iterable[str], extras: Iterable[str]) -> Iterator[
        tuple[str, frozenset[str]]]:
    """Yield the requirements that apply here, and the extras they ask for.

    :param lines: ``Requires-Dist`` of a distribution.
    :param extras: those wanted of it, besides none.
    """
    for line in lines:
        wanted = requirements.Requirement(line)
        if wanted.marker is None or any(
                wanted.marker.evaluate({'extra': extra})
                for extra in ('', *extras)):
            yield (utils.canonicalize_name(wanted.name),
                   frozenset(wanted.extras))


def licences(metadata: email.message.Message) -> list[dict[str, Any]]:
    """Return the licence that metadata states, empty if it states none."""
    if expression := metadata['License-Expression']:
        return [{'expression': expression}]
    names = [c.rpartition(' :: ')[2]
             for c in metadata.get_all('Classifier', [])
             if c.startswith(_CLASSIFIER) and c.count(' :: ') > 1]
    text = str(metadata['License'] or '').strip()
    if not names and text and len(text) <= _NAME_MAX and '\n' not in text:
        names = [text]
    return [{'license': {'name': name}} for name in names]


def component(name: str, version: str,
              metadata: email.message.Message) -> dict[str, Any]:
    """Return the entry of a library.

    :param metadata: of the distribution; says the licence.
    """
    purl = f'pkg:pypi/{utils.canonicalize_name(name)}@{version}'
    entry: dict[str, Any] = {
        'type': 'library', 'bom-ref': purl, 'name': name, 'version': version,
        'purl': purl}
    if found := licences(metadata):
        entry['licenses'] = found
    return entry


def _metadata(name: str, versions: dict[str, str]) -> email.message.Message:
    """Return the metadata of an installed distribution of the right version.

    :raises SbomError: when there is none.
    """
    if name not in versions:
        raise SbomError(f'constraints.txt does not pin {name}')
    for found in importlib.metadata.distributions(name=name):
        if found.version == versions[name]:
            text = found.read_text('METADATA') or ''
            return email.parser.Parser().parsestr(text)
    raise SbomError(f'{name} {versions[name]} is not installed here, so its '
                    'requirements are unknown')


def bill(wheel: Path, constraints: Path = CONSTRAINTS) -> dict[str, Any]:
    """Return the bill of a wheel with all of its extras.

    :param constraints: file with the versions.
    :raises SbomError: when the version of a requirement is not in it, or when
        its metadata is not installed.
    """
    versions = pinned(constraints)
    ours = metadata_of(wheel)
    root = component(str(ours['Name']), str(ours['Version']), ours)
    root['hashes'] = [{'alg': 'SHA-256', 'content': hashlib.sha256(
        wheel.read_bytes()).hexdigest()}]
    entries: dict[str, dict[str, Any]] = {}
    edges: dict[str, set[str]] = {}
    seen: dict[str, frozenset[str]] = {}
    todo = [(root['bom-ref'], ours, frozenset(
        ours.get_all('Provides-Extra', [])))]
    while todo:
        ref, metadata, extras = todo.pop()
        below = edges.setdefault(ref, set())
        for name, more in needed(
                metadata.get_all('Requires-Dist', []), extras):
            found = _metadata(name, versions)
            entries.setdefault(name, component(name, versions[name], found))
            below.add(entries[name]['bom-ref'])
            if name not in seen or more - seen[name]:
                seen[name] = more | seen.get(name, frozenset())
                todo.append((entries[name]['bom-ref'], found, seen[name]))
    return {
        'bomFormat': 'CycloneDX',
        'specVersion': SPEC_VERSION,
        'serialNumber': uuid.uuid5(
            uuid.NAMESPACE_URL, root['hashes'][0]['content']).urn,
        'version': 1,
        'metadata': {'component': root},
        'components': [entries[name] for name in sorted(entries)],
        'dependencies': [{'ref': ref, 'dependsOn': sorted(edges[ref])}
                         for ref in sorted(edges)],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('wheel', type=Path)
    parser.add_argument('--output', type=Path,
                        help='file; default: standard output')
    args = parser.parse_args(argv)
    try:
        text = json.dumps(bill(args.wheel), indent=1) + '\n'
    except (SbomError, OSError, zipfile.BadZipFile) as e:
        print(f'{args.wheel}: {e}', file=sys.stderr)
        return 1
    if args.output:
        args.output.write_text(text)
    else:
        print(text, end='')
    return 0


if __name__ == '__main__':
    sys.exit(main())
